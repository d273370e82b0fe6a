"""Every config under configs/: it runs from end to end, and a version is what the diary says it is."""
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.cnn.bricks import DropPath
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mamba_cd_plugin.analysis.complexity import count_parameters, uninitialised_model
from mamba_cd_plugin.inference.inferencer import ChangeDetectionInferencer

CONFIGS = Path(__file__).parents[1] / 'configs'
# Everything that is no base; a new folder is found by itself. Those with Open-CD need it: tests/test_opencd.py and
# tests/test_peers.py.
LEAVES = sorted(str(p.relative_to(CONFIGS)) for p in CONFIGS.rglob('*.py')
                if not {'_base_', 'opencd', 'peers'} & {*p.parts})
SIDE = 32  # pixels, of the tiny pairs


def count(name: str) -> int:
    """Parameters of a version at its full width."""
    return count_parameters(Config.fromfile(CONFIGS / name))


def count_by_part(name: str) -> dict[str, int]:
    """Parameters of a version's backbone, neck and head, and of the neck's difference blocks."""
    model = uninitialised_model(Config.fromfile(CONFIGS / name), device='meta')
    parts = dict(backbone=model.backbone, neck=model.neck, decode_head=model.decode_head,
                 differences=model.neck.differences)
    return {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}


@pytest.mark.parametrize(('name', 'millions'), [('cdmamba_v1_levircd.py', 37), ('cdmamba_v2_d80_levircd.py', 53),
                                                ('cdmamba_v2_levircd.py', 77)])
def test_v1_and_v2_have_the_diarys_size(name: str, millions: float) -> None:
    assert count(name) / 1e6 == pytest.approx(millions, rel=0.1)


def test_v6_grows_by_its_difference_block_alone() -> None:
    v5, v6 = count_by_part('cdmamba_v5_levircd.py'), count_by_part('cdmamba_v6_levircd.py')
    growth = {part: v6[part] - v5[part] for part in v5}
    total = sum(v5[part] for part in ('backbone', 'neck', 'decode_head'))
    # By hand, level by level: V5 has a depthwise 3x3 with bias and LN on 2C, and 1x1 from 2C to C with bias; V6 a full
    # 3x3 from 2C to C and BN.
    levels = [64, 128, 256, 512]
    assert v5['differences'] == sum(2 * c * 9 + 2 * c + 4 * c + 2 * c * c + c for c in levels)
    assert v6['differences'] == sum(9 * 2 * c * c + 2 * c for c in levels)
    assert growth['differences'] > 0.1 * total
    # Elsewhere only biases go, where a BatchNorm follows: V6 is no larger there.
    assert growth['backbone'] == 0
    assert -0.001 * total < growth['neck'] - growth['differences'] <= 0
    assert -0.001 * total < growth['decode_head'] <= 0


def test_v7_has_hardly_more_parameters_than_v6_1() -> None:
    v6_1, v7 = count('cdmamba_v6_1_levircd.py'), count('cdmamba_v7_levircd.py')
    assert v6_1 < v7 < 1.02 * v6_1


def test_the_leaves_are_found_and_small() -> None:
    assert len(LEAVES) >= 60
    lines = {name: [line for line in (CONFIGS / name).read_text().splitlines() if line.strip() and line[0] != '#']
             for name in LEAVES}
    assert {name: len(body) for name, body in lines.items() if len(body) > 18} == {}


def kinds(node: Any) -> Any:
    """A part of a config without its numbers: what is built, not how large or how fast."""
    if isinstance(node, dict):
        return {key: kinds(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [kinds(value) for value in node]
    return type(node).__name__ if isinstance(node, (bool, int, float)) else node


def parts(cfg: Config) -> set[str]:
    """The model, the data and the training of a config, each as text; equal texts build the same."""
    loaders = [dict(cfg[f'{split}_dataloader'].dataset, data_root='') for split in ('train', 'val', 'test')]
    training = [cfg[key] for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_cfg', 'test_cfg',
                                     'custom_hooks', 'default_hooks', 'val_evaluator', 'test_evaluator')]
    return {f'model {cfg.model}', f'data {loaders}', f'training {kinds(training)}'}


# What was trained in this process; leaves of one file are tested in one (--dist loadfile).
TRAINED: set[str] = set()
WITH_GRADIENTS: set[str] = set()


@pytest.mark.parametrize('name', LEAVES)
def test_every_config_trains_validates_tests_and_predicts(name: str, narrow_config: Callable[[str], Config]) -> None:
    """Each distinct model, data and training at least once: at this size many leaves are the same."""
    cfg = narrow_config(name)
    if parts(cfg) <= TRAINED:
        return
    TRAINED.update(parts(cfg))
    runner = Runner.from_cfg(cfg)
    runner.train()
    best = Path(cfg.work_dir) / 'best_changed_F1.pth'
    assert runner.iter == 2 and best.is_file()
    assert {'whole/changed_F1', 'whole/changed_IoU'} <= {*runner.test()}
    pair = tuple(np.full((SIDE, SIDE, 3), grey, np.uint8) for grey in (50, 200))
    prediction = ChangeDetectionInferencer(cfg, best, device='cpu', show_progress=False)(pair)['predictions'][0]
    assert prediction['mask'].shape == (SIDE, SIDE) and prediction['probability'].std() > 0
    assert np.array_equal(prediction['mask'], prediction['probability'] > cfg.model.decode_head.threshold)


@pytest.mark.parametrize('name', LEAVES)
def test_every_parameter_of_every_config_gets_a_gradient(name: str, narrow_config: Callable[[str], Config]) -> None:
    cfg = narrow_config(name)
    if str(cfg.model) in WITH_GRADIENTS:
        return
    WITH_GRADIENTS.add(str(cfg.model))
    model = MODELS.build(cfg.model).train()
    for module in model.modules():  # a block that is dropped for both pairs has no gradient
        if isinstance(module, DropPath):
            module.drop_prob = 0.
    labels = torch.zeros(2, 1, 64, 64, dtype=torch.long)
    labels[..., 10:30, 20:40] = 1
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    losses = model(torch.randn(2, 6, 64, 64), samples, mode='loss')
    sum(losses.values()).backward()
    # A bias in front of a BatchNorm, even with a 1x1 convolution between them, has a gradient of exactly 0, of which
    # only rounding noise is seen: it must be reached, no more.
    without = [key for key, p in model.named_parameters() if p.requires_grad and (
        p.grad is None or not (key.endswith('bias') or p.grad.abs().sum() > 0))]
    # Two ablations leave A and B unread above the deepest level; they say so, since several GPUs must know it too.
    by_design = ('backbone.out_norms.', 'neck.reductions.') if cfg.get('find_unused_parameters') else ()
    assert without or not by_design  # the switch costs every step a search, so that none has it in vain
    assert [key for key in without if not key.startswith(by_design or ' ')] == []
