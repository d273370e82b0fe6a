"""Fixtures that several folders of tests share."""
import os
import signal
from collections.abc import Callable
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image
from torch import nn

import mamba_cd_plugin.registration  # noqa: F401  registers everything, and holds back what the stack prints meanwhile
from mamba_cd_plugin.engine.checkpoint import use_safe_loaders

use_safe_loaders()  # as the tools do

CONFIGS = Path(__file__).parents[1] / 'configs'
TOY_CHANNELS = [16, 32, 64, 128]
TOY = {
    'model.backbone.arch': 'toy',
    'model.neck.in_channels': TOY_CHANNELS,
    'model.decode_head.in_channels': TOY_CHANNELS,
}
TOY_RESNET = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 16,
    'model.neck.in_channels': [16, *TOY_CHANNELS],
    'model.decode_head.in_channels': [16, *TOY_CHANNELS],
    'model.decode_head.pool': 1,  # else the global context of a tiny pair is one cell, whose attention learns nothing
}
NARROW = 8  # channels of the first level
TINY = (32, 32)  # pixels
SLOW = ('test_triton.py', 'test_export.py', 'test_configs.py')  # files of 30 seconds and more on one core


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--renew-identity v8``, where a version was changed on purpose."""
    parser.addoption('--renew-identity', action='append', default=[], metavar='VERSION',
                     help='write what this version is now into tests/data/identity.json; may be given several times')


def pytest_configure(config: pytest.Config) -> None:
    """One thread in this process and those it starts, unless OMP_NUM_THREADS says otherwise; and ears for Ctrl-C.

    The tensors here are so small that threads only wait for each other, for minutes where the cores are busy, as they
    are with a worker of pytest-xdist on each. Shells let what they start in the background ignore SIGINT, which tests
    of Ctrl-C would wait for in vain.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if 'OMP_NUM_THREADS' not in os.environ:
        os.environ['OMP_NUM_THREADS'] = '1'
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: a file is one worker's, and the last one is waited for."""
    items.sort(key=lambda item: item.path.name not in SLOW)


@pytest.fixture(autouse=True)
def _mmseg_scope_and_seed() -> None:
    """Every test runs in mmseg's scope, as under its runner, and from the same seed."""
    init_default_scope('mmseg')
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def toy_config() -> Callable[[str], Config]:
    """A config by its path under configs/, with the narrow, shallow encoder that tests can afford."""

    def read(name: str) -> Config:
        # mmengine writes a config nine times in a run, and yapf's layout of it takes longer than a training step here.
        # (Config.fromfile has the argument too, but does not pass it on.)
        path = CONFIGS / name
        cfg = Config(Config.fromfile(path).to_dict(), filename=str(path), format_python_code=False)
        if cfg.model.type == 'OpenCDModel':
            return cfg  # as it is: its widths are in Open-CD's code
        cfg.merge_from_dict(TOY_RESNET if cfg.model.backbone.type == 'SiameseResNet' else TOY)
        for key in ('embed_dims', 'init_cfg'):  # widths and weights of the full model
            cfg.model.backbone.pop(key, None)
        return cfg

    return read


@pytest.fixture(scope='session')
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of LEVIR layout with a bright square as change: four pairs to train on, two for each of the others."""
    root, random = tmp_path_factory.mktemp('pairs'), np.random.default_rng(0)
    for split, number in (('train', 4), ('val', 2), ('test', 2)):
        for i in range(number):
            a, b = random.integers(0, 150, (2, *TINY, 3), dtype=np.uint8)
            label = np.zeros(TINY, np.uint8)
            label[8:20, 4 * i:4 * i + 12] = 255
            b[label == 255] = 250
            for folder, image in (('A', a), ('B', b), ('label', label)):
                mmcv.imwrite(image, str(root / split / folder / f'{i}.png'))
    return root


@pytest.fixture(scope='session')
def save() -> Callable[[Path, np.ndarray], Path]:
    """Write an array as an image of the kind that the suffix names."""

    def write(path: Path, array: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
        return path

    return write


def narrow(model: dict) -> None:
    """Make a toy model even narrower."""
    if model.backbone.type == 'SiameseResNet':
        model.backbone.base_channels = NARROW
    else:
        model.backbone.arch = dict(embed_dims=NARROW, depths=(1, 1, 1, 1), ssm_ratio=1.0)
    channels = [width * NARROW // TOY_CHANNELS[0] for width in model.neck.in_channels]
    model.neck.in_channels = model.decode_head.in_channels = channels
    if 'channels' in model.decode_head:  # a decoder of one width
        model.decode_head.channels = NARROW


@pytest.fixture
def narrow_config(toy_config: Callable[[str], Config], tiny_pairs: Path, tmp_path: Path,
                  monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Config]:
    """A config as it is, but narrow, in batches of two of the tiny pairs, for one epoch of two iterations."""
    monkeypatch.setenv('MAMBA_CD_DATA', str(tiny_pairs))

    def read(name: str) -> Config:
        cfg = toy_config(name)
        if cfg.model.type != 'OpenCDModel':
            narrow(cfg.model)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.update(batch_size=2, num_workers=0, persistent_workers=False)
            loader.dataset.serialize_data = False  # it is for sharing between workers, and collects all garbage
        if cfg.train_dataloader.dataset.type == 'SyntheticCDDataset':
            cfg.train_dataloader.dataset.update(length=4, size=TINY)
        for step in cfg.train_dataloader.dataset.pipeline:
            step.update({key: TINY for key in ('crop_size', 'size') if key in step})
        cfg.load_from = None  # packaged weights have the full width
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
        # A picture takes longer than the two iterations; the test of a whole cycle looks at it.
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'CurvesHook']
        cfg.work_dir, cfg.log_level = str(tmp_path), 'WARNING'
        # mmengine keeps one visualizer and one logger of a name per process.
        cfg.experiment_name = cfg.visualizer.name = tmp_path.name
        return cfg

    return read


@pytest.fixture
def toy_v8(toy_config: Callable[[str], Config]) -> nn.Module:
    """V8 at toy size."""
    return MODELS.build(toy_config('cdmamba_v8_levircd.py').model)
