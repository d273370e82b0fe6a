"""A runner that trains in a second: a network of two convolutions on generated pairs with a bright square as change."""
import random
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils.data import Dataset


@DATASETS.register_module()
class TinyPairs(Dataset):
    """Pairs of grey noise; in B of each a bright square has appeared.

    Args:
        sizes: Height and width of each pair.
        label: 'square' for the true label, 'unmapped' for one with 255 instead of 1, or the value of a constant one.
        spoilt: Index of a pair with a NaN among its pixels.
        noise: Grey levels of noise that is drawn anew each time, from the generators of Python, NumPy and torch.
    """
    METAINFO = {'classes': ('unchanged', 'changed')}

    def __init__(self, sizes: list[list[int]], label: object = 'square', spoilt: int = -1,
                 noise: float = 0.) -> None:
        self.metainfo = self.METAINFO
        self.sizes = sizes
        self.label = label
        self.spoilt = spoilt
        self.noise = noise

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        height, width = self.sizes[index]
        inputs = torch.randint(90, 110, (6, height, width), generator=generator).float()
        top, left = (int(torch.randint(0, side // 2, (1, ), generator=generator)) for side in (height, width))
        square = slice(top, top + height // 4), slice(left, left + width // 4)
        inputs[(slice(3, 6), *square)] = 220
        if self.noise:
            draws = random.random() + np.random.random() + torch.rand(1)
            inputs += self.noise * (draws + torch.randn(inputs.shape))
        if index == self.spoilt:
            inputs[0, 0, 0] = float('nan')
        label = torch.zeros(1, height, width, dtype=torch.long)
        if self.label in ('square', 'unmapped'):
            label[(0, *square)] = 1 if self.label == 'square' else 255
        else:
            label[:] = self.label
        sample = SegDataSample(metainfo={
            'img_path': f'train/A/pair_{index}.png', 'ori_shape': (height, width), 'img_shape': (height, width)})
        sample.gt_sem_seg = PixelData(data=label)
        return {'inputs': inputs, 'data_samples': sample}


@MODELS.register_module()
class TinyPairBackbone(nn.Module):
    """Two convolutions and, so that a tile differs from the same place in its whole image, the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.first(x).relu()
        return [self.second(x + x.mean(dim=(2, 3), keepdim=True)).relu()]


def loader(batch_size: int, **dataset) -> dict:
    return {'batch_size': batch_size, 'num_workers': 0, 'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': {'type': 'TinyPairs', **dataset}}


def tiny_config(work_dir: Path) -> Config:
    """Train on 4 pairs of 32 x 32, validate on the same, test on 2 pairs of 64 x 64."""
    return Config({
        'default_scope': 'mmseg',
        'work_dir': str(work_dir),
        'experiment_name': uuid.uuid4().hex,  # mmengine keeps one logger and one message hub per name
        'model': {
            'type': 'EncoderDecoder',
            'data_preprocessor': {'type': 'SegDataPreProcessor', 'size': (32, 32), 'test_cfg': None},
            'backbone': {'type': 'TinyPairBackbone'},
            'decode_head': {
                'type': 'FCNHead', 'in_channels': 8, 'channels': 8, 'num_convs': 0, 'concat_input': False,
                'num_classes': 2, 'out_channels': 1, 'threshold': 0.5, 'dropout_ratio': 0.,
                'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'loss_name': 'loss_bce'}},
            'train_cfg': {}, 'test_cfg': {'mode': 'whole'}},
        'train_dataloader': loader(2, sizes=[[32, 32]] * 4),
        'val_dataloader': loader(2, sizes=[[32, 32]] * 4),
        'test_dataloader': loader(1, sizes=[[64, 64]] * 2),
        'train_cfg': {'type': 'EpochBasedTrainLoop', 'max_epochs': 3, 'val_interval': 1},
        'val_cfg': {'type': 'ValLoop'}, 'test_cfg': {'type': 'TestLoop'},
        'val_evaluator': {'type': 'ChangeMetric'}, 'test_evaluator': {'type': 'ChangeMetric'},
        'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 1e-6}},
        'default_hooks': {
            'logger': {'type': 'LoggerHook', 'interval': 1},
            'checkpoint': {'type': 'CheckpointHook', 'interval': 1, 'max_keep_ckpts': 1, 'save_best': 'changed_F1',
                           'rule': 'greater'}},
        'visualizer': {'type': 'Visualizer', 'vis_backends': [{'type': 'LocalVisBackend'}]},
        'randomness': {'seed': 0},
        'log_level': 'WARNING',
    })


@pytest.fixture
def make_runner(tmp_path: Path) -> Callable[..., Runner]:
    """A runner on the tiny task, its config changed by dotted keys."""

    def make(options: dict[str, object] = None, hooks: list[dict] = ()) -> Runner:
        cfg = tiny_config(tmp_path / 'work')
        cfg.merge_from_dict(options or {})
        cfg.custom_hooks = list(hooks)
        return Runner.from_cfg(cfg)

    return make
