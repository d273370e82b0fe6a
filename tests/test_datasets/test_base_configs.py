"""The base configs' pipelines, as the loaders of a run deliver them."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mamba_cd_plugin.datasets import with_data_root

CONFIGS = Path(__file__).parents[2] / 'configs'


def loader(root, name, split, seed=0, **options):
    cfg = Config.fromfile(CONFIGS / f'_base_/datasets/{name}.py')[f'{split}_dataloader']
    return Runner.build_dataloader(with_data_root(cfg.copy() | options, str(root)), seed=seed)


@pytest.mark.parametrize('name, side, train_side', [
    ('levircd_256', 64, 64), ('synthetic', 64, 64), ('levircd_crop256', 300, 256), ('levircd_crop256', 100, 256)])
def test_batches(levir, name, side, train_side):
    root = levir(splits=('train', 'val', 'test'), size=side, suffix='.jpg')
    for split in ('train', 'val', 'test'):
        batch = next(iter(loader(root, name, split, batch_size=1, num_workers=0, persistent_workers=False)))
        expected = train_side if split == 'train' else side
        inputs, sample = batch['inputs'][0], batch['data_samples'][0]
        assert inputs.shape == (6, expected, expected)
        assert inputs.dtype == torch.uint8
        assert sample.gt_sem_seg.data.shape == (1, expected, expected)
        assert set(sample.gt_sem_seg.data.unique().tolist()) <= {0, 1, 255}
        assert {'img_path', 'img_path2', 'seg_map_path', 'ori_shape', 'img_shape'} <= set(sample.metainfo)
        assert sample.ori_shape == (side, side)


def test_validation_delivers_the_files_as_they_are(levir, save):
    root = levir(splits=('val', ))
    save(root / 'val/A/0.png', np.full((64, 64, 3), (200, 100, 50), np.uint8))
    batch = next(iter(loader(root, 'levircd_256', 'val', batch_size=3)))
    assert len(batch['inputs']) == 3
    assert batch['inputs'][0][:3, 5, 7].tolist() == [200, 100, 50]
    label = torch.zeros(1, 64, 64, dtype=torch.int64)
    label[0, 1:17, 1:22] = 1  # the second label of the fixture
    assert (batch['data_samples'][1].gt_sem_seg.data == label).all()


def test_same_seed_same_batches(levir):
    root = levir(splits=('train', ), count=4)

    def two_epochs(seed):
        batches = loader(root, 'levircd_crop256', 'train', seed, batch_size=2)
        assert batches.num_workers == 2
        epochs = [[torch.stack(batch['inputs']) for batch in batches] for _ in range(2)]
        return torch.stack([torch.stack(epoch) for epoch in epochs])

    first, again, other = two_epochs(0), two_epochs(0), two_epochs(1)
    assert (first == again).all()
    assert (first != other).any()
    assert (first[0] != first[1]).any()  # the second epoch has augmentations of its own


def test_bad_file_stops_the_loader_with_its_name(levir):
    root = levir(splits=('train', ))
    path = root / 'train/B/1.png'
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(OSError, match='train/B/1.png: cannot be read as an image'):
        list(loader(root, 'levircd_256', 'train', batch_size=1, num_workers=0, persistent_workers=False))


def test_test_time_augmentation(levir):
    root = levir(splits=('test', ))
    cfg = Config.fromfile(CONFIGS / '_base_/datasets/levircd_256.py')
    plain, flipped = (
        DATASETS.build(dict(cfg.test_dataloader.dataset, data_root=str(root), pipeline=pipeline))[1]
        for pipeline in (cfg.test_pipeline, cfg.tta_pipeline))
    image, label = plain['inputs'], plain['data_samples'].gt_sem_seg.data
    expected = [image, image.flip(2), image.flip(1)]
    assert all((got == want).all() for got, want in zip(flipped['inputs'], expected))
    samples = flipped['data_samples']
    assert [(sample.flip, sample.get('flip_direction')) for sample in samples] == [
        (False, None), (True, 'horizontal'), (True, 'vertical')]
    assert all((sample.gt_sem_seg.data == label).all() for sample in samples)  # the prediction is flipped back
