"""The Triton kernels without a GPU: run in the interpreter, and compiled for GPUs."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mamba_cd_plugin.ops import resolve_backend, triton_geometry, triton_launch, triton_ops

triton = pytest.importorskip('triton', minversion='3.6')


def test_in_the_interpreter():
    """In a process of its own, since the variable counts when triton is imported."""
    cases = Path(__file__).with_name('triton_interpreted.py')
    answer = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', str(cases)],
                            env={**os.environ, triton_ops.INTERPRET: '1'}, capture_output=True, text=True, timeout=600,
                            check=False)
    assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-2000:]


@pytest.mark.skipif(triton_ops.interpreted(), reason='kernels are not compiled under TRITON_INTERPRET')
@pytest.mark.parametrize(('capability', 'dtype'), [(75, 'fp16'), (80, 'fp32'), (90, 'bf16')])
def test_compiles_for_a_gpu(capability, dtype):
    """Registers within the 255 of a thread, and few of them spilled.

    32 bytes of stack at most, by `backward_kernel` on 90 and `rank_kernel` on 75.
    """
    from mamba_cd_plugin.analysis.triton_build import kernels_of_the_model, resources
    for name, kernel in kernels_of_the_model(capability, dtype).items():
        registers, stack = resources(kernel)
        assert 0 < registers <= 255 and stack <= 128, (name, registers, stack)
        assert not re.search(r'\batom|\bred\.', kernel.asm['ptx']), name


class NoGpu:
    """A driver for Triton that starts nothing, and writes down what it should."""

    def __init__(self):
        self.started = []
        self.utils = self

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        return triton.backends.compiler.GPUTarget('cuda', 90, 32)

    def get_device_properties(self, device):
        return {'max_shared_mem': 2**17}

    def load_binary(self, name, kernel, shared, device):
        return None, name, 32, 0, 1024  # no module that would have to be unloaded

    def launcher_cls(self, source, metadata):

        def start(x, y, z, stream, function, packed, launch, enter, leave, *arguments):
            kinds = [(a.dtype, a.shape) if isinstance(a, torch.Tensor) else a for a in arguments]
            self.started.append((function, (x, y, z), kinds))

        return start


@pytest.fixture
def no_gpu(monkeypatch):
    if triton_ops.interpreted() or torch.cuda.is_available():
        pytest.skip('takes the place of a driver')
    driver = NoGpu()
    monkeypatch.setattr(triton.runtime.driver, '_active', driver)
    yield driver
    triton_launch._plan.cache_clear()  # plans keep what was compiled for this driver


def test_later_launches_are_like_the_first(maps, gradients, no_gpu):
    """The first goes through Triton, which puts the arguments in order; the later ones do not."""
    started = []
    for _ in range(3):
        gradients(triton_ops.triton_cross_selective_scan, maps(2, 4, 4, 8, 2, 1))
        started.append(no_gpu.started[:])
        no_gpu.started.clear()
    assert [name for name, _, _ in started[0]] == [
        'steps_kernel', 'local_kernel', 'carry_kernel', 'forward_kernel', 'forward_kernel', 'steps_kernel',
        'local_kernel', 'carry_kernel', 'backward_kernel', 'backward_kernel', 'rank_kernel', 'finish_kernel'
    ]
    assert started[0] == started[1] == started[2]


def test_sequences_in_half_precision_compile(sequences, gradients, no_gpu):
    """All of them, D too, as in a model after half(); the interpreter does not mind types that do not match."""
    gradients(lambda *tensors: triton_ops.triton_selective_scan(*tensors, True),
              sequences(1, 2, 4, 8, 1, torch.bfloat16))
    assert [name for name, _, _ in no_gpu.started] == [
        'steps_kernel', 'local_kernel', 'carry_kernel', 'forward_kernel', 'steps_kernel', 'local_kernel',
        'carry_kernel', 'backward_kernel', 'finish_kernel'
    ]


@pytest.mark.parametrize('geometry', [
    (1, 1024, 1024, 512, 4, 8, 1, True, True),  # step sizes of an image: 2^20 * 4 * 512
    (1, 1, 2**20, 512, 1, 0, 16, True, False),  # states of a sequence: 2^18 chunks * 16 * 512
])
def test_what_32_bits_cannot_count_is_refused(geometry):
    with pytest.raises(ValueError, match=r'an array with 2,147,483,648 numbers to count in 32 bits'):
        triton_launch.Plan(triton_geometry.Geometry(*geometry), torch.bfloat16, torch.device('cpu'))
    half = (*geometry[:3], 256, *geometry[4:])
    triton_launch.Plan(triton_geometry.Geometry(*half), torch.bfloat16, torch.device('cpu'))


def test_a_large_batch_counts_in_64_bits():
    """256 images of 64 x 64, 4 groups of 512 channels: 2^31 step sizes, but 2^23 of an image."""
    geometry = triton_geometry.Geometry(256, 64, 64, 512, 4, 16, 1, True, True)
    triton_launch.Plan(geometry, torch.bfloat16, torch.device('cpu'))


def test_reason_where_there_is_no_gpu(monkeypatch):
    triton_ops.probe_triton.cache_clear()
    monkeypatch.delenv(triton_ops.INTERPRET, raising=False)
    monkeypatch.setattr(triton_ops.torch.cuda, 'is_available', lambda: False)
    usable, reason = triton_ops.probe_triton()
    assert not usable and 'no CUDA device' in reason
    with pytest.raises(RuntimeError, match="'triton' is not available: torch sees no CUDA device"):
        resolve_backend('triton')
    monkeypatch.setattr(triton_ops.torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(triton_ops.torch.cuda, 'get_device_capability', lambda: (6, 1))
    triton_ops.probe_triton.cache_clear()
    assert triton_ops.probe_triton() == (False, 'triton needs a GPU of compute capability 7.0 or newer, this one has '
                                         '(6, 1)')
    triton_ops.probe_triton.cache_clear()


def test_reason_where_triton_is_too_old(monkeypatch):
    """torch 2.6 brings 3.2, in which the kernels do not compile; 3.3.1, 3.4.0 and 3.5.1 compiled them by hand."""
    triton_ops.probe_triton.cache_clear()
    monkeypatch.setattr(triton, '__version__', '3.2.0')
    assert triton_ops.probe_triton() == (False, 'triton 3.2.0 cannot compile the kernels, 3.3 can; it comes with torch '
                                         '2.7')
    triton_ops.probe_triton.cache_clear()
