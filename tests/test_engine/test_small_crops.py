"""A training whose first epochs are on small crops."""
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from mamba_cd_plugin.datasets import PairCDDataset
from mamba_cd_plugin.engine.loops import with_small_crops

CROP = dict(type='RandomChangeCrop', crop_size=(32, 48), change_prob=0.5)
Make = Callable[..., Runner]


class Batches(Hook):
    """Notes epoch, number and size of the pairs of each batch."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        assert data_batch is not None
        self.seen.append((runner.epoch, len(data_batch['inputs']), tuple(data_batch['inputs'][0].shape[1:])))


@pytest.fixture
def options(tmp_path: Path) -> dict[str, object]:
    """Four pairs of 64 px in batches of two, trained for five epochs."""
    rng = np.random.default_rng(0)
    for folder in ('A', 'B', 'label'):
        (tmp_path / 'train' / folder).mkdir(parents=True)
    for name in range(4):
        for folder in ('A', 'B'):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / f'train/{folder}/{name}.png')
        label = np.zeros((64, 64), np.uint8)
        label[20:30, 20:40] = 255 * (name % 2)
        Image.fromarray(label).save(tmp_path / f'train/label/{name}.png')
    dataset = dict(type='PairCDDataset', data_root=str(tmp_path), pipeline=[
        dict(type='LoadImagePair'), dict(type='LoadChangeLabel'), CROP,
        dict(type='Pad', size=CROP['crop_size'][::-1], pad_val=dict(img=0., seg=255)), dict(type='PackSegInputs')])
    return {
        'train_dataloader': dict(_delete_=True, batch_size=2, num_workers=0, drop_last=True, dataset=dataset,
                                 sampler=dict(type='ChangeBalancedSampler', change_share=0.5)),
        'train_cfg': dict(_delete_=True, type='CDTrainLoop', max_epochs=5, val_interval=9,
                          small_crops=dict(share=0.4, divisor=2)),
        'model.data_preprocessor': dict(_delete_=True, type='PairDataPreProcessor', mean=[0, 0, 0], std=[255, 255, 255],
                                        size_divisor=1),
        'default_hooks.checkpoint': dict(_delete_=True, type='CheckpointHook', interval=1),
        'optim_wrapper.optimizer.lr': 0.1}


def train(make_runner: Make, options: dict[str, object]) -> tuple[list[tuple], dict[str, torch.Tensor]]:
    runner, batches = make_runner(deepcopy(options)), Batches()  # mmengine takes _delete_ out of it
    runner.register_hook(batches)
    runner.train()
    return batches.seen, runner.model.state_dict()


def test_two_of_five_epochs_are_on_small_crops_also_when_resumed(make_runner: Make, tmp_path: Path,
                                                                 options: dict[str, object],
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    find_changed, readings = PairCDDataset.find_changed, []
    monkeypatch.setattr(PairCDDataset, 'find_changed', lambda pairs: (readings.append(pairs), find_changed(pairs))[1])
    seen, weights = train(make_runner, options)
    assert len(readings) == 1  # the labels are read once, for both loaders
    small, large = (8, (16, 24)), (2, (32, 48))
    assert seen == [(epoch, *(small if epoch < 2 else large)) for epoch in range(5) for _ in range(2)]
    again, resumed = train(make_runner, {**options, 'resume': True, 'load_from': str(tmp_path / 'work/epoch_1.pth')})
    assert again == seen[2:]
    for name, weight in weights.items():
        assert torch.equal(resumed[name], weight), name


LOADER = dict(batch_size=2, sampler=dict(type='ChangeBalancedSampler'), dataset=dict(pipeline=[CROP]))


def test_each_of_several_data_sets_is_cropped() -> None:
    joined = dict(type='ConcatDataset', datasets=[dict(pipeline=[CROP]), dict(pipeline=[dict(CROP, crop_size=64)])])
    small = with_small_crops({**LOADER, 'dataset': joined}, 2)
    assert [each['pipeline'][0]['crop_size'] for each in small['dataset']['datasets']] == [(16, 24), (32, 32)]
    assert joined['datasets'][0]['pipeline'] == [CROP]


@pytest.mark.parametrize(('changes', 'divisor', 'message'), [
    (dict(sampler=dict(type='DefaultSampler')), 2, 'needs the ChangeBalancedSampler.*is DefaultSampler'),
    (dict(dataset=dict(pipeline=[])), 2, 'one transform that has a crop_size'),
    (dict(), 5, 'a crop of 32 x 48 pixels cannot be divided by 5'),
])
def test_a_loader_that_does_not_fit_is_refused(changes: dict, divisor: int, message: str) -> None:
    with pytest.raises(ValueError, match=f'^train_cfg.small_crops.*{message}'):
        with_small_crops({**LOADER, **changes}, divisor)
