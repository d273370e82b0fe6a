import sys
import types

import pytest
import torch

from mamba_cd_plugin.analysis.benchmark import usable_backends
from mamba_cd_plugin.doctor.probe import look_at_scan
from mamba_cd_plugin.ops import (
    available_backends,
    backends,
    cross_selective_scan,
    mamba_kernel,
    resolve_backend,
    selective_scan,
    selective_scan_ref,
)


@pytest.fixture
def no_fast_backend(monkeypatch):
    """A machine without C compiler and without mamba-ssm; gives the list of warnings."""
    lines = []
    for name, reason in [('c', 'no C compiler found; install gcc'), ('mamba_ssm', 'the kernel was not built'),
                         ('triton', 'no triton')]:
        record = backends.BACKENDS[name]._replace(probe=lambda reason=reason: (False, reason))
        monkeypatch.setitem(backends.BACKENDS, name, record)
    monkeypatch.setattr(backends.warnings, 'warn', lambda message, *args, **kwargs: lines.append(message))
    backends._report_fallback.cache_clear()
    yield lines
    backends._report_fallback.cache_clear()


@pytest.fixture
def mamba_modules(monkeypatch):
    """Puts made-up modules in the place of mamba-ssm: install(kernel functions, attributes of the interface)."""
    mamba_kernel.load_mamba_kernel.cache_clear()

    def install(kernel, interface):
        module = types.ModuleType('selective_scan_cuda')
        vars(module).update(kernel or {})
        path = 'mamba_ssm.ops.selective_scan_interface'
        for name in ('mamba_ssm', 'mamba_ssm.ops', path):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        vars(sys.modules[path]).update(interface)
        monkeypatch.setitem(sys.modules, 'selective_scan_cuda', module if kernel is not None else None)

    yield install
    mamba_kernel.load_mamba_kernel.cache_clear()


def call_nothing(*args):
    raise AssertionError('not to be called')


KERNEL = {'fwd': call_nothing, 'bwd': call_nothing}


def test_every_backend_says_whether_and_why():
    for name, (usable, reason) in available_backends().items():
        assert usable or reason, name
    assert available_backends()['torch'] == (True, '')


def test_auto_stays_open_until_the_device_is_known(c_backend):
    assert resolve_backend('auto') == 'auto'
    assert resolve_backend('auto', 'cpu') == 'c'
    assert resolve_backend('auto', 'meta') == 'torch'


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown scan backend 'cuda'; choose one of .*'mamba_ssm'"):
        resolve_backend('cuda')


def test_unavailable_backend_fails_at_once_and_says_why(no_fast_backend, sequences):
    with pytest.raises(RuntimeError, match="'c' is not available: no C compiler found; install gcc"):
        resolve_backend('c')
    with pytest.raises(RuntimeError, match="'mamba_ssm' is not available: the kernel was not built"):
        selective_scan(*sequences(1, 1, 2, 3, 1), backend='mamba_ssm')


def test_backend_for_another_device(c_backend):
    with pytest.raises(ValueError, match="'c' runs on cpu tensors only, got cuda"):
        resolve_backend('c', 'cuda')


def test_fallback_to_torch_with_one_warning(no_fast_backend, sequences, maps, assert_close):
    inputs = sequences(1, 2, 3, 8, 1)
    for _ in range(3):
        assert_close([selective_scan(*inputs)], [selective_scan_ref(*inputs)], 1e-6)
        cross_selective_scan(*maps(1, 3, 3, 4, 2, 1))
    assert len(no_fast_backend) == 1
    assert 'plain torch scan takes over. c: no C compiler found; install gcc' in no_fast_backend[0]


def test_float64_takes_plain_torch(c_backend, sequences):
    inputs = sequences(1, 2, 3, 8, 1, torch.float64)
    torch.testing.assert_close(selective_scan(*inputs), selective_scan_ref(*inputs), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="'c' computes in float32, got a float64 tensor"):
        selective_scan(*inputs, backend='c')


def test_a_new_record_is_there_everywhere(monkeypatch, sequences, maps):
    taken = []

    def scan(*args):
        taken.append('scan')
        return selective_scan_ref(*args)

    def cross_scan(x, *_):
        taken.append('cross')
        return 3 * x

    record = backends.Backend('mine', scan, cross_scan, devices=lambda: ('meta', 'cpu'), automatic=('meta', ))
    monkeypatch.setitem(backends.BACKENDS, 'mine', record)
    assert resolve_backend('auto', 'meta') == resolve_backend('mine', 'cpu') == 'mine'
    assert available_backends()['mine'] == (True, '') and usable_backends(['mine']) == ['mine']
    inputs = maps(1, 2, 2, 3, 1, 1)
    assert torch.equal(cross_selective_scan(*inputs, backend='mine'), 3 * inputs[0])
    selective_scan(*sequences(1, 1, 2, 3, 1), backend='mine')
    assert taken == ['cross', 'scan']
    monkeypatch.setitem(backends.BACKENDS, 'mine', record._replace(cross_scan=None))
    cross_selective_scan(*inputs, backend='mine')  # put together from the scan
    assert taken[2:] == ['scan']
    monkeypatch.setitem(backends.BACKENDS, 'c', record._replace(automatic=('cpu', )))  # it would be the choice here
    assert look_at_scan()['title'] == 'mine'


def test_mamba_import_without_kernel_is_not_enough(mamba_modules):
    interface = {'selective_scan_fn': call_nothing, 'selective_scan_cuda': None}
    mamba_modules(None, interface)
    function, reason = mamba_kernel.load_mamba_kernel()
    assert function is None and 'selective_scan_cuda does not load' in reason and 'MAMBA_FORCE_BUILD' in reason


@pytest.mark.parametrize('kernel, interface, expected', [
    ({}, {'selective_scan_fn': call_nothing}, 'has no function fwd and bwd'),
    ({'fwd': call_nothing}, {'selective_scan_fn': call_nothing}, 'has no function bwd'),
    (KERNEL, {'selective_scan_fn': call_nothing, 'selective_scan_cuda': None}, 'without its CUDA kernel'),
    (KERNEL, {}, 'without its CUDA kernel'),
])
def test_mamba_with_a_part_missing(mamba_modules, kernel, interface, expected):
    mamba_modules(kernel, interface)
    function, reason = mamba_kernel.load_mamba_kernel()
    assert function is None and expected in reason


def test_mamba_without_cuda_device(mamba_modules, monkeypatch):
    mamba_modules(KERNEL, {'selective_scan_fn': call_nothing})
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert mamba_kernel.probe_mamba_kernel() == (False, 'torch sees no CUDA device')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert mamba_kernel.probe_mamba_kernel() == (True, '')
    without = backends.BACKENDS['triton']._replace(probe=lambda: (False, 'no triton'))
    monkeypatch.setitem(backends.BACKENDS, 'triton', without)
    assert resolve_backend('auto', 'cuda') == 'mamba_ssm'
    monkeypatch.setitem(backends.BACKENDS, 'triton', without._replace(probe=lambda: (True, '')))
    assert resolve_backend('auto', 'cuda') == 'triton'


def test_mamba_gets_contiguous_float32(mamba_modules, sequences, assert_close):

    def fake_scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        tensors = (u, delta, A, B, C, D, delta_bias)
        assert all(t.is_contiguous() and t.dtype == torch.float32 for t in tensors) and z is None
        return selective_scan_ref(u, delta, A, B, C, D, delta_bias, delta_softplus)

    mamba_modules(KERNEL, {'selective_scan_fn': fake_scan})
    inputs = [t.bfloat16() for t in sequences(2, 2, 3, 6, 2)]
    inputs[0] = inputs[0].transpose(0, 2).contiguous().transpose(0, 2)
    y = mamba_kernel.mamba_selective_scan(*inputs, True)
    assert y.dtype == torch.bfloat16
    assert_close([y], [selective_scan_ref(*inputs)], 1e-6)
