"""Every config under configs/: it builds, and a version is what the diary says it is."""
from pathlib import Path
from typing import Callable

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

CONFIGS = Path(__file__).parents[1] / 'configs'
# Everything that is no base; a new folder is found by itself.
LEAVES = sorted(str(p.relative_to(CONFIGS)) for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts)


def build(name: str) -> nn.Module:
    """A version at its full width."""
    return MODELS.build(Config.fromfile(CONFIGS / name).model)


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(('name', 'millions'), [('cdmamba_v1_levircd.py', 37), ('cdmamba_v2_d80_levircd.py', 53),
                                                ('cdmamba_v2_levircd.py', 77)])
def test_v1_and_v2_have_the_diarys_size(name: str, millions: float) -> None:
    assert count(build(name)) / 1e6 == pytest.approx(millions, rel=0.1)


def test_v6_grows_by_its_difference_block_alone() -> None:
    v5, v6 = build('cdmamba_v5_levircd.py'), build('cdmamba_v6_levircd.py')
    growth = count(v6) - count(v5)
    in_difference_block = count(v6.neck.differences) - count(v5.neck.differences)
    assert growth > 0.1 * count(v5)
    # Elsewhere only biases go, where a BatchNorm follows: V6 is no larger there.
    assert -0.001 * count(v5) < growth - in_difference_block <= 0


def test_v7_has_hardly_more_parameters_than_v6_1() -> None:
    v6_1, v7 = count(build('cdmamba_v6_1_levircd.py')), count(build('cdmamba_v7_levircd.py'))
    assert v6_1 < v7 < 1.02 * v6_1


def test_the_leaves_are_found_and_small() -> None:
    assert len(LEAVES) >= 40
    lines = {name: [line for line in (CONFIGS / name).read_text().splitlines() if line.strip() and line[0] != '#']
             for name in LEAVES}
    assert {name: len(body) for name, body in lines.items() if len(body) > 18} == {}


@pytest.mark.parametrize('name', LEAVES)
def test_every_parameter_of_every_config_gets_a_gradient(name: str, toy_config: Callable[[str], Config]) -> None:
    cfg = toy_config(name)
    for key in ('embed_dims', 'init_cfg'):  # widths and weights of the full model
        cfg.model.backbone.pop(key, None)
    model = MODELS.build(cfg.model).train()
    labels = torch.zeros(2, 1, 64, 64, dtype=torch.long)
    labels[..., 10:30, 20:40] = 1
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    losses = model(torch.randn(2, 6, 64, 64), samples, mode='loss')
    sum(losses.values()).backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Two ablations leave A and B unread above the deepest level; they say so, since several GPUs must know it too.
    by_design = ('backbone.out_norms.', 'neck.reductions.') if cfg.get('find_unused_parameters') else ()
    assert [key for key in without if not key.startswith(by_design or ' ')] == []
