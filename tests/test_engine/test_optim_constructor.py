"""Rates and decays of single weights, and the groups in which the optimizer has them."""
import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import CosineAnnealingLR, DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mamba_cd_plugin.engine.optim_constructor import FanInOptimWrapperConstructor, fan_in, regroup_checkpoint


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
    return {tuple(p.shape): group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}


def test_wide_layers_learn_at_a_smaller_rate() -> None:
    found = rates(build(full_rate_fan_in=32))
    assert found[8, 4, 1, 1] == found[100, 1, 3, 3] == found[4, 100, 6] == found[100, ] == 1
    assert found[8, 16, 3, 3] == pytest.approx(32 / 144)
    assert found[2, 64] == pytest.approx(32 / 64)


def test_a_convolution_over_one_dimension_is_no_projection_of_the_scan() -> None:
    constructor = FanInOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=1.)), dict(full_rate_fan_in=32))
    assert rates(constructor(nn.Sequential(nn.Conv1d(40, 1, 3))))[1, 40, 3] == pytest.approx(32 / 120)


def test_without_the_key_all_learn_alike() -> None:
    assert set(rates(build()).values()) == {1.}


def test_fan_in_by_hand() -> None:
    assert [fan_in(torch.zeros(shape)) for shape in ((5, 7), (5, 7, 3, 3), (4, 5, 7))] == [7, 63, 7]


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match='full_rate_fan_in is 0'):
        build(full_rate_fan_in=0)


def test_keys_that_change_nothing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(MMLogger, 'warning', lambda logger, text: told.append(text))
    build(custom_keys={'narrow.weight': dict(lr_mult=0.1), 'backbone.norm': dict(lr_mult=0.1),
                       'Ds': dict(decay_mult=0.)})
    assert [text.partition(' has ')[2][:13] for text in told] == ['backbone.norm']  # other factors are for some models
    with pytest.raises(ValueError, match='paramwise_cfg has the unknown keys full_rate_fanin; known are'):
        build(full_rate_fanin=100)


def test_older_configs_name_it_otherwise() -> None:
    assert OPTIM_WRAPPER_CONSTRUCTORS.get('QuietOptimWrapperConstructor') is FanInOptimWrapperConstructor


def test_equal_settings_are_one_group() -> None:
    model = Model()
    optimizer = dict(type='AdamW', lr=1., weight_decay=0.1)
    built = FanInOptimWrapperConstructor(dict(optimizer=optimizer), dict(norm_decay_mult=0., full_rate_fan_in=100))
    groups = built(model).optimizer.param_groups
    # The directions are the model's own parameter and come first; the wide layer learns at 100 / 144.
    narrow = [model.directions, model.narrow.weight, model.narrow.bias, model.wide.bias, model.depthwise.weight,
              model.depthwise.bias, model.linear.weight, model.linear.bias]
    expected = [narrow, [model.wide.weight], [model.norm.weight, model.norm.bias]]
    assert [[id(p) for p in group['params']] for group in groups] == [[id(p) for p in some] for some in expected]
    assert [(group['lr'], group['weight_decay']) for group in groups] == [(1., 0.1), (100 / 144, 0.1), (1., 0.)]
    assert 'fused' not in optimizer and groups[0]['fused'] is None  # on a CPU


@pytest.mark.parametrize(('options', 'fused'), [({}, True), ({'foreach': True}, None), ({'fused': False}, False)])
def test_fused_on_a_gpu_unless_chosen(monkeypatch: pytest.MonkeyPatch, options: dict, fused: object) -> None:
    monkeypatch.setattr(torch.Tensor, 'is_cuda', True)
    optimizer = dict(type='AdamW', lr=1., **options)
    groups = FanInOptimWrapperConstructor(dict(optimizer=optimizer))(Model()).optimizer.param_groups
    assert groups[0]['fused'] is fused and optimizer == dict(type='AdamW', lr=1., **options)
    plain = FanInOptimWrapperConstructor(dict(optimizer=dict(type='Rprop', lr=1.)))(Model())  # has no fused kernel
    assert 'fused' not in plain.optimizer.param_groups[0]


def trained(constructor: type, steps: int, model: Model) -> tuple[OptimWrapper, CosineAnnealingLR]:
    """The optimizer and the schedule of a model, after some steps on gradients that depend on the weights."""
    optimizer = dict(type='AdamW', lr=0.1, weight_decay=0.1)
    paramwise = dict(norm_decay_mult=0., custom_keys=dict(linear=dict(lr_mult=0.5)))
    wrapper = constructor(dict(optimizer=optimizer), paramwise)(model)
    schedule = CosineAnnealingLR(wrapper, T_max=9, by_epoch=False)
    for _ in range(steps):
        train_step(model, wrapper, schedule)
    return wrapper, schedule


def train_step(model: Model, wrapper: OptimWrapper, schedule: CosineAnnealingLR) -> None:
    wrapper.update_params(sum(((p - 1)**4 * torch.arange(p.numel()).view(p.shape)).sum() for p in model.parameters()))
    schedule.step()


def test_a_checkpoint_with_a_group_for_each_parameter_goes_on() -> None:
    """mmengine's own constructor, whose groups older checkpoints have, gives the expected weights."""
    torch.manual_seed(0)
    old, new = Model(), Model()
    wrapper, schedule = trained(DefaultOptimWrapperConstructor, 3, old)
    checkpoint = copy.deepcopy(dict(optimizer=wrapper.state_dict(), param_schedulers=[schedule.state_dict()]))
    assert len(checkpoint['optimizer']['param_groups']) == 11
    new.load_state_dict(old.state_dict())
    other, other_schedule = trained(FanInOptimWrapperConstructor, 0, new)
    regroup_checkpoint(checkpoint, other.optimizer, new)
    other.load_state_dict(checkpoint['optimizer'])
    other_schedule.load_state_dict(checkpoint['param_schedulers'][0])
    for _ in range(3):
        train_step(old, wrapper, schedule)
        train_step(new, other, other_schedule)
    assert len(other.optimizer.param_groups) == 3
    assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters()))
    assert len(other_schedule.base_values) == 4  # with mmengine's base rate
    assert sorted(set(wrapper.get_lr()['lr'])) == sorted(set(other.get_lr()['lr']))


def test_a_checkpoint_of_other_groups_is_refused() -> None:
    model = Model()
    wrapper, _ = trained(FanInOptimWrapperConstructor, 1, model)
    checkpoint = dict(optimizer=torch.optim.AdamW(list(model.parameters())[:4]).state_dict())
    with pytest.raises(ValueError, match='has 1 groups with 4 parameters, that of this config 3 with 11'):
        regroup_checkpoint(checkpoint, wrapper.optimizer, model)


def test_a_training_with_a_group_for_each_parameter_resumes(make_runner: Callable[..., Runner], tmp_path: Path) -> None:
    def train(name: str, constructor: str, epochs: int, **options: object) -> dict:
        runner = make_runner({
            'work_dir': str(tmp_path / name), 'train_cfg.max_epochs': epochs, 'default_hooks.resume.type': 'ResumeHook',
            'param_scheduler': [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=9)],
            'optim_wrapper': dict(constructor=constructor, optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
                                  paramwise_cfg=dict(bias_decay_mult=0.), _delete_=True), **options})
        runner.train()
        return torch.load(tmp_path / name / f'epoch_{epochs}.pth', weights_only=False)

    expected = train('whole', 'DefaultOptimWrapperConstructor', 4)
    train('halves', 'DefaultOptimWrapperConstructor', 2)
    resumed = train('halves', 'FanInOptimWrapperConstructor', 4, resume=True)
    assert all(torch.equal(weight, resumed['state_dict'][name]) for name, weight in expected['state_dict'].items())
    counts = [[len(group['params']) for group in saved['optimizer']['param_groups']] for saved in (expected, resumed)]
    assert counts == [[1] * 6, [3, 3]]
