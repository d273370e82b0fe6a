import math

import numpy as np
import pytest
import torch

from mamba_cd_plugin.ops import selective_scan_ref


def scan_by_hand(u, delta, A, B, C, D, bias):
    """The recurrence written again, with numpy and one channel at a time."""
    y = np.zeros_like(u)
    per_group = u.shape[1] // B.shape[1]
    for n in range(u.shape[0]):
        for c in range(u.shape[1]):
            group, h = c // per_group, np.zeros(A.shape[1])
            for pos in range(u.shape[2]):
                step = np.log1p(np.exp(delta[n, c, pos] + bias[c]))
                h = np.exp(step * A[c]) * h + step * B[n, group, :, pos] * u[n, c, pos]
                y[n, c, pos] = h @ C[n, group, :, pos] + D[c] * u[n, c, pos]
    return y


def test_worked_example():
    # One channel, A = -ln 2 and steps 1, 2: the decays are 1/2 and 1/4.
    u = torch.tensor([[[3., 5.]]])
    delta = torch.tensor([[[1., 2.]]])
    A = torch.tensor([[-math.log(2)]])
    B, C = torch.tensor([[[[2., 1.]]]]), torch.tensor([[[[1., 10.]]]])
    # h = 1*2*3 = 6, then 6/4 + 2*1*5 = 11.5; y = 6*1 + 0.5*3, 11.5*10 + 0.5*5
    y = selective_scan_ref(u, delta, A, B, C, torch.tensor([0.5]), None, delta_softplus=False)
    torch.testing.assert_close(y, torch.tensor([[[7.5, 117.5]]]))
    # softplus(0) = ln 2, so that the decay of the second step is 2^-ln 2
    y = selective_scan_ref(u, delta, A, B, C, None, torch.tensor([-1.]), delta_softplus=True)
    second = 2 * 3 * math.log(2) * 2**-math.log1p(math.e) + 5 * math.log1p(math.e)
    torch.testing.assert_close(y, torch.tensor([[[6 * math.log(2), 10 * second]]]))


def test_groups_and_states_against_numpy(sequences):
    inputs = sequences(2, 3, 2, 5, 4, torch.float64)
    expected = scan_by_hand(*[t.numpy() for t in inputs])
    np.testing.assert_allclose(selective_scan_ref(*inputs).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_gradients_against_differences_of_numpy(sequences):
    inputs = sequences(1, 2, 1, 3, 2, torch.float64)
    weights = np.linspace(-1, 1, 6).reshape(1, 2, 3)
    tensors = [t.clone().requires_grad_() for t in inputs]
    (selective_scan_ref(*tensors) * torch.from_numpy(weights)).sum().backward()
    arrays = [t.numpy() for t in inputs]
    for array, tensor in zip(arrays, tensors):
        expected, step = np.zeros_like(array), 1e-6
        for index in np.ndindex(*array.shape):
            center = array[index]
            values = []
            for moved in (center + step, center - step):
                array[index] = moved
                values.append((scan_by_hand(*arrays) * weights).sum())
            array[index] = center
            expected[index] = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(tensor.grad.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_computes_in_float32_under_autocast(sequences):
    inputs = sequences(1, 1, 2, 4, 1)
    expected = selective_scan_ref(*inputs)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(selective_scan_ref(*inputs), expected)
    low = selective_scan_ref(*[t.bfloat16() for t in inputs])
    assert low.dtype == torch.bfloat16


@pytest.mark.parametrize('index, name', [(1, 'delta'), (3, 'B'), (4, 'C'), (5, 'D'), (6, 'delta_bias')])
def test_names_the_argument_that_does_not_fit(sequences, index, name):
    inputs = sequences(1, 2, 2, 4, 1)
    inputs[index] = inputs[index][..., :-1]
    with pytest.raises(ValueError, match=f'{name} must be .* got'):
        selective_scan_ref(*inputs)


def test_channels_that_do_not_split_into_groups(sequences):
    inputs = sequences(1, 2, 2, 4, 1)
    inputs[0] = inputs[0][:, :3]
    with pytest.raises(ValueError, match='3 channels of u do not split into the 2 groups'):
        selective_scan_ref(*inputs)
