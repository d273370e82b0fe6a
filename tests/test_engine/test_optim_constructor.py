"""Rates and decays of single weights."""
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mamba_cd_plugin.engine.optim_constructor import FanInOptimWrapperConstructor, fan_in


class Model(nn.Module):
    """One layer of each kind; what each of its outputs sums over stands beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(4, 8, 1)  # 4
        self.wide = nn.Conv2d(16, 8, 3)  # 16 * 9 = 144
        self.depthwise = nn.Conv2d(100, 100, 3, groups=100)  # 9
        self.linear = nn.Linear(64, 2)  # 64
        self.norm = nn.LayerNorm(100)
        self.directions = nn.Parameter(torch.zeros(4, 100, 6))  # (direction, out, in): 6
        self.frozen = nn.Parameter(torch.zeros(3), requires_grad=False)


def build(**paramwise: float) -> OptimWrapper:
    """The optimizer of the model above, at a rate of 1."""
    optimizer = dict(type='AdamW', lr=1., weight_decay=0.1)
    return FanInOptimWrapperConstructor(dict(optimizer=optimizer), dict(norm_decay_mult=0., **paramwise))(Model())


def rates(wrapper: OptimWrapper) -> dict:
    """The rate of each parameter, by shape."""
    return {tuple(group['params'][0].shape): group['lr'] for group in wrapper.optimizer.param_groups}


def test_wide_layers_learn_at_a_smaller_rate() -> None:
    found = rates(build(full_rate_fan_in=32))
    assert found[8, 4, 1, 1] == found[100, 1, 3, 3] == found[4, 100, 6] == found[100, ] == 1
    assert found[8, 16, 3, 3] == pytest.approx(32 / 144)
    assert found[2, 64] == pytest.approx(32 / 64)


def test_without_the_key_all_learn_alike() -> None:
    assert set(rates(build()).values()) == {1.}


def test_fan_in_by_hand() -> None:
    assert [fan_in(torch.zeros(shape)) for shape in ((5, 7), (5, 7, 3, 3), (4, 5, 7))] == [7, 63, 7]


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match='full_rate_fan_in is 0'):
        build(full_rate_fan_in=0)


def test_older_configs_name_it_otherwise() -> None:
    assert OPTIM_WRAPPER_CONSTRUCTORS.get('QuietOptimWrapperConstructor') is FanInOptimWrapperConstructor
