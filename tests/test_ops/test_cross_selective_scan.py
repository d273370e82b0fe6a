import numpy as np
import pytest
import torch

from mamba_cd_plugin.ops import cross_selective_scan

SHAPES = [
    (2, 3, 5, 4, 2, 2),
    (1, 7, 9, 100, 4, 1),  # channels that are no multiple of any vector
    (3, 4, 4, 64, 4, 1),  # an odd number of images for two threads
    (2, 5, 1, 70, 3, 3),
    (1, 1, 1, 5, 1, 1),
    (1, 20, 33, 144, 9, 1),  # several tiles
    (1, 17, 19, 21, 3, 5),
    (0, 2, 2, 8, 1, 1),  # empty batch
]


def scan_by_hand(x, proj, weight, bias, A, D):
    """The four recurrences pixel by pixel, with numpy."""
    (batch, height, width, _), rank, states = x.shape, weight.shape[2], A.shape[2]
    rows = [(i, j) for i in range(height) for j in range(width)]
    columns = [(i, j) for j in range(width) for i in range(height)]
    y = np.zeros_like(x)
    for n in range(batch):
        for k, order in enumerate([rows, columns, rows[::-1], columns[::-1]]):
            h = np.zeros(A.shape[1:])
            for i, j in order:
                low_rank, B, C = np.split(proj[n, i, j, k], [rank, rank + states])
                step = np.log1p(np.exp(weight[k] @ low_rank + bias[k]))[:, None]
                h = np.exp(step * A[k]) * h + step * B * x[n, i, j][:, None]
                y[n, i, j] += h @ C + D[k] * x[n, i, j]
    return y


@pytest.fixture(params=['torch', 'ref', 'c'])
def backend(request):
    if request.param == 'c':
        request.getfixturevalue('c_backend')
    return request.param


def test_against_numpy(backend, maps):
    inputs = maps(2, 3, 4, 6, 2, 3)
    expected = scan_by_hand(*[t.double().numpy() for t in inputs])
    actual = cross_selective_scan(*inputs, backend=backend).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('shape', SHAPES)
def test_value_and_gradients_of_the_kernel(c_backend, shape, maps, gradients, assert_close):
    inputs = maps(*shape)
    expected = gradients(cross_selective_scan, [t.double() for t in inputs], backend='torch')
    assert_close(gradients(cross_selective_scan, inputs, backend='c'), expected, 1e-5)


@pytest.mark.parametrize('threads', [1, 2, 3, 5])
def test_any_number_of_threads(c_backend, threads, maps, gradients, assert_close):
    inputs = maps(1, 16, 16, 80, 5, 1)
    expected = gradients(cross_selective_scan, [t.double() for t in inputs], backend='torch')
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        actual = gradients(cross_selective_scan, inputs, backend='c')
        again = gradients(cross_selective_scan, inputs, backend='c')
    finally:
        torch.set_num_threads(before)
    assert_close(actual, expected, 1e-5)
    assert all(torch.equal(a, b) for a, b in zip(actual, again))


@pytest.mark.parametrize('shift', [-30., -8., 10., 60.])
def test_tiny_and_large_steps(c_backend, shift, maps, gradients, assert_close):
    inputs = maps(1, 9, 11, 40, 3, 1)
    inputs[3] = inputs[3] + shift
    expected = gradients(cross_selective_scan, [t.double() for t in inputs], backend='torch')
    assert_close(gradients(cross_selective_scan, inputs, backend='c'), expected, 1e-5)


def test_inputs_that_are_not_contiguous(backend, maps, gradients, assert_close):
    inputs = maps(2, 3, 5, 6, 2, 1)
    expected = gradients(cross_selective_scan, inputs, backend=backend)

    def strided(x, *others):
        channels_first = x.permute(0, 3, 1, 2).contiguous()
        views = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in others]
        return cross_selective_scan(channels_first.permute(0, 2, 3, 1), *views, backend=backend)

    assert_close(gradients(strided, inputs), expected, 1e-6)


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_half_precision_outside_float32_inside(backend, dtype, tolerance, maps, gradients, assert_close):
    low = [t.to(dtype) for t in maps(1, 5, 6, 20, 2, 1)]
    actual = gradients(cross_selective_scan, low, backend=backend)
    assert all(t.dtype == dtype for t in actual)
    expected = gradients(cross_selective_scan, [t.double() for t in low], backend='torch')
    assert_close(actual, expected, tolerance)


def test_half_maps_with_float32_weights(backend, maps):
    inputs = maps(1, 5, 6, 20, 2, 1)
    inputs[:2] = [t.bfloat16() for t in inputs[:2]]
    assert cross_selective_scan(*inputs, backend=backend).dtype == torch.bfloat16


def test_no_nan_for_extreme_float16(backend, maps, gradients):
    inputs = [(t * 60000).clamp(-65504, 65504).half() for t in maps(1, 5, 6, 20, 2, 1)]
    for tensor in gradients(cross_selective_scan, inputs, backend=backend):
        assert not tensor.isnan().any()


def test_a_nan_is_not_hidden(backend, maps):
    for index in range(6):
        inputs = maps(1, 3, 3, 4, 2, 1)
        inputs[index].view(-1)[0] = float('nan')
        assert cross_selective_scan(*inputs, backend=backend).isnan().any(), index


def test_autocast_changes_nothing(backend, maps):
    inputs = maps(1, 5, 6, 20, 2, 1)
    expected = cross_selective_scan(*inputs, backend=backend)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(cross_selective_scan(*inputs, backend=backend), expected)


def test_training_keeps_inputs_only(c_backend, maps):
    inputs = [t.requires_grad_() for t in maps(2, 8, 8, 16, 2, 1)]
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.data_ptr()) or t, lambda t: t):
        cross_selective_scan(*inputs, backend='c')
    assert set(saved) == {t.data_ptr() for t in inputs}


@pytest.mark.parametrize('index, name', [(1, 'proj'), (3, 'dt_bias'), (5, 'D')])
def test_names_the_argument_that_does_not_fit(maps, index, name):
    inputs = maps(1, 3, 3, 4, 2, 1)
    inputs[index] = inputs[index][..., :-1]
    with pytest.raises(ValueError, match=f'{name} must be .* got'):
        cross_selective_scan(*inputs)
