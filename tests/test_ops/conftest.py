"""Seeded inputs for the scans, and a comparison relative to the largest value."""
import pytest
import torch

from mamba_cd_plugin.ops import available_backends


@pytest.fixture
def sequences():
    """Arguments of `selective_scan` for N images, K groups of C channels, length L and S states."""

    def make(batch, groups, channels, length, states, dtype=torch.float32, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator).to(dtype)

        dim = groups * channels
        # A learnt A is -exp(something): never closer to 0 than a little.
        rates = -normal(dim, states).abs() - 0.1
        return [
            normal(batch, dim, length),
            normal(batch, dim, length) - 1, rates,
            normal(batch, groups, states, length),
            normal(batch, groups, states, length),
            normal(dim),
            normal(dim)
        ]

    return make


@pytest.fixture
def maps():
    """Arguments of `cross_selective_scan`."""

    def make(batch, height, width, channels, rank, states, dtype=torch.float32, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator).to(dtype)

        return [
            normal(batch, height, width, channels),
            normal(batch, height, width, 4, rank + 2 * states),
            normal(4, channels, rank) * rank**-0.5,
            normal(4, channels) - 1, -normal(4, channels, states).abs() - 0.1,
            normal(4, channels)
        ]

    return make


@pytest.fixture
def gradients():
    """Value and gradients of function(*inputs) for one fixed output gradient."""

    def compute(function, inputs, **kwargs):
        inputs = [t.detach().clone().requires_grad_() for t in inputs]
        y = function(*inputs, **kwargs)
        weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape)
        return [y.detach(), *torch.autograd.grad(y, inputs, weights.to(y.dtype))]

    return compute


@pytest.fixture
def assert_close():
    """Largest error at most `tolerance` times the largest expected value, tensor by tensor."""

    def check(actual, expected, tolerance):
        assert len(actual) == len(expected)
        for index, (a, e) in enumerate(zip(actual, expected)):
            assert a.shape == e.shape, index
            if e.numel():
                error = (a.double() - e.double()).abs().max()
                assert error <= tolerance * e.double().abs().max() + 1e-30, (index, float(error))

    return check


@pytest.fixture
def c_backend():
    """Skips where the machine has no C compiler."""
    usable, reason = available_backends()['c']
    if not usable:
        pytest.skip(reason)
