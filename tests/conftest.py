"""Fixtures that several folders of tests share."""
from pathlib import Path
from typing import Callable

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

import mamba_cd_plugin  # noqa: F401  registers everything

CONFIGS = Path(__file__).parents[1] / 'configs'
TOY_CHANNELS = [16, 32, 64, 128]
TOY = {
    'model.backbone.arch': 'toy',
    'model.neck.in_channels': TOY_CHANNELS,
    'model.decode_head.in_channels': TOY_CHANNELS,
}


@pytest.fixture(autouse=True)
def _mmseg_scope_and_seed() -> None:
    """Every test runs in mmseg's scope, as under its runner, and from the same seed."""
    init_default_scope('mmseg')
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def toy_config() -> Callable[[str], Config]:
    """A config by its path under configs/, with the narrow, shallow encoder that tests can afford."""

    def read(name: str) -> Config:
        cfg = Config.fromfile(CONFIGS / name)
        cfg.merge_from_dict(TOY)
        return cfg

    return read


@pytest.fixture
def toy_v8(toy_config: Callable[[str], Config]) -> nn.Module:
    """V8 at toy size."""
    return MODELS.build(toy_config('cdmamba_v8_levircd.py').model)
