import pytest
import torch

from mamba_cd_plugin.ops import blocked_scan, selective_scan, selective_scan_ref

SHAPES = [
    (2, 4, 3, 17, 1),  # odd length
    (1, 1, 1, 1, 1),
    (2, 2, 5, 64, 2),  # a square length, states
    (1, 2, 9, 300, 1),  # more channels than one chunk of rows, several tiles
    (1, 1, 20, 130, 3),
    (1, 3, 2, 2, 1),
    (0, 2, 3, 5, 1),  # empty batch
]


@pytest.fixture(params=['torch', 'c'])
def backend(request):
    if request.param == 'c':
        request.getfixturevalue('c_backend')
    return request.param


@pytest.mark.parametrize('shape', SHAPES)
def test_value_and_gradients(backend, shape, sequences, gradients, assert_close):
    inputs = sequences(*shape)
    expected = gradients(selective_scan_ref, [t.double() for t in inputs])
    assert_close(gradients(selective_scan, inputs, backend=backend), expected, 1e-5)


@pytest.mark.parametrize('optional', [(5, ), (6, ), (5, 6)])
def test_without_direct_path_or_bias(backend, optional, sequences, gradients, assert_close):
    inputs = sequences(2, 2, 3, 40, 1)
    kept = [i for i in range(7) if i not in optional]

    def call(function, **kwargs):

        def run(*tensors):
            arguments = dict(zip(kept, tensors))
            return function(*[arguments.get(i) for i in range(7)], **kwargs)

        return run

    expected = gradients(call(selective_scan_ref), [inputs[i].double() for i in kept])
    assert_close(gradients(call(selective_scan, backend=backend), [inputs[i] for i in kept]), expected, 1e-5)


def test_given_step_sizes(backend, sequences, gradients, assert_close):
    inputs = sequences(1, 2, 3, 50, 2)
    inputs[1], inputs[6] = inputs[1].abs(), inputs[6].abs()
    expected = gradients(selective_scan_ref, [t.double() for t in inputs], delta_softplus=False)
    assert_close(gradients(selective_scan, inputs, delta_softplus=False, backend=backend), expected, 1e-5)


@pytest.mark.parametrize('shift', [-30., -8., 10., 60.])
def test_tiny_and_large_steps(backend, shift, sequences, gradients, assert_close):
    inputs = sequences(1, 2, 3, 70, 1)
    inputs[6] = inputs[6] + shift
    expected = gradients(selective_scan_ref, [t.double() for t in inputs])
    assert_close(gradients(selective_scan, inputs, backend=backend), expected, 1e-5)


def test_inputs_that_are_not_contiguous(backend, sequences, gradients, assert_close):
    inputs = sequences(2, 2, 3, 21, 2)
    expected = gradients(selective_scan, inputs, backend=backend)

    def strided(*tensors):
        views = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in tensors]
        assert not views[0].is_contiguous()
        return selective_scan(*views, backend=backend)

    assert_close(gradients(strided, inputs), expected, 1e-6)


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_half_precision_outside_float32_inside(backend, dtype, tolerance, sequences, gradients, assert_close):
    low = [t.to(dtype) for t in sequences(2, 2, 4, 100, 1)]
    actual = gradients(selective_scan, low, backend=backend)
    assert all(t.dtype == dtype for t in actual)
    # The only error is the rounding of the results: with the same rounded inputs the reference is met closely.
    assert_close(actual, gradients(selective_scan_ref, [t.double() for t in low]), tolerance)


def test_no_nan_for_extreme_float16(backend, sequences, gradients):
    inputs = [(t * 60000).clamp(-65504, 65504).half() for t in sequences(1, 2, 4, 40, 1)]
    for tensor in gradients(selective_scan, inputs, backend=backend):
        assert not tensor.isnan().any()


def test_shapes_are_checked_before_a_kernel_reads_them(backend, sequences):
    inputs = sequences(1, 2, 2, 4, 1)
    inputs[3] = inputs[3][..., :-1]
    with pytest.raises(ValueError, match=r'B must be \(1, 2, 1, 4\) to fit u \(1, 4, 4\), got \(1, 2, 1, 3\)'):
        selective_scan(*inputs, backend=backend)


def test_autocast_changes_nothing(backend, sequences):
    inputs = sequences(1, 2, 4, 40, 1)
    expected = selective_scan(*inputs, backend=backend)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(selective_scan(*inputs, backend=backend), expected)


def test_blocked_scan_in_float64(sequences):
    inputs = [t.requires_grad_() for t in sequences(1, 2, 2, 7, 2, torch.float64)]
    assert torch.autograd.gradcheck(selective_scan, inputs)  # plain torch, which computes in float64


def test_blocked_scan_in_chunks_of_states(monkeypatch, sequences, gradients, assert_close):
    inputs = sequences(2, 2, 2, 30, 5, torch.float64)
    expected = gradients(selective_scan, inputs, backend='torch')
    monkeypatch.setattr(blocked_scan, 'MAX_CHUNK_ELEMENTS', 2 * 2 * 2 * 30 * 2)
    assert_close(gradients(selective_scan, inputs, backend='torch'), expected, 1e-12)


def test_training_keeps_inputs_only(backend, sequences):
    # u and delta are 2 x 6 x 400; a tensor per step, or a stored state, would be of that size each.
    inputs = [t.requires_grad_() for t in sequences(2, 2, 3, 400, 1)]
    saved = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.setdefault(t.data_ptr(), t), lambda t: t):
        selective_scan(*inputs, backend=backend)
    large = [t for t in saved.values() if t.numel() >= inputs[0].numel()]
    assert len(large) <= 4, [tuple(t.shape) for t in large]
