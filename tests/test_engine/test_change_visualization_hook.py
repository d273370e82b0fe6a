"""Which pairs are drawn, when, from which images, and under which name."""
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import mmcv
import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.structures import SegDataSample

from mamba_cd_plugin.engine.hooks import ChangeVisualizationHook
from mamba_cd_plugin.engine.hooks.change_visualization_hook import load_pair

Make = Callable[..., Runner]
DRAWING = {'visualizer.type': 'ChangeVisualizer', 'default_hooks.logger.interval': 10}


def drawing(**hook) -> dict:
    return {**DRAWING, 'default_hooks.visualization': {'type': 'ChangeVisualizationHook', 'draw': True, **hook}}


def pictures(runner: Runner) -> list[str]:
    return sorted(file.name for file in Path(runner.work_dir).glob('*/vis_data/vis_image/*.png'))


def test_nothing_by_default(make_runner: Make) -> None:
    runner = make_runner({**DRAWING, 'default_hooks.visualization': {'type': 'ChangeVisualizationHook'}})
    runner.test()
    assert pictures(runner) == []


def test_validation_draws_the_same_pairs_every_epoch(make_runner: Make) -> None:
    runner = make_runner({**drawing(interval=2, max_images=2), 'train_cfg.max_epochs': 2,
                          'val_dataloader.dataset.sizes': [[32, 32]] * 6})
    runner.train()
    assert pictures(runner) == ['val_pair_0_1.png', 'val_pair_0_2.png', 'val_pair_2_1.png', 'val_pair_2_2.png']


def test_a_test_draws_all_pairs_once(make_runner: Make) -> None:
    runner = make_runner({**drawing(max_images=1), 'test_cfg': {'type': 'ProtocolTestLoop', 'tile': 32}})
    runner.test()
    assert pictures(runner) == ['test_pair_0_0.png', 'test_pair_1_0.png']


def test_show_dir(make_runner: Make, tmp_path: Path) -> None:
    runner = make_runner(drawing(show_dir=str(tmp_path / 'show')))
    runner.test()
    assert sorted(file.name for file in (tmp_path / 'show').glob('*.png')) == ['pair_0.png', 'pair_1.png']
    assert pictures(runner) == []


def test_pair_from_its_files(tmp_path: Path) -> None:
    expected = []
    for date, value in (('A', (10, 20, 30)), ('B', (40, 50, 60))):
        image = np.full((4, 5, 3), value, dtype=np.uint8)
        mmcv.imwrite(image[..., ::-1], str(tmp_path / f'{date}.png'))
        expected.append(image)
    sample = SegDataSample(metainfo={'img_path': str(tmp_path / 'A.png'), 'img_path2': str(tmp_path / 'B.png')})
    np.testing.assert_array_equal(load_pair(sample, [], 0), np.concatenate(expected, axis=2))


@pytest.mark.parametrize('augmented', [False, True])
def test_pair_from_the_input(augmented: bool) -> None:
    images = [torch.full((6, 4, 5), value, dtype=torch.uint8) for value in (1, 2)]
    inputs = [images, [image + 100 for image in images]] if augmented else images
    pair = load_pair(SegDataSample(metainfo={'img_path': 'A.png'}), inputs, 1)
    assert pair.shape == (4, 5, 6)
    assert (pair == 2).all()


def test_interval_is_checked() -> None:
    with pytest.raises(ValueError, match='interval'):
        ChangeVisualizationHook(interval=0)


@pytest.mark.parametrize('folder, error, message', [
    ('data/A', ValueError, r'show_dir .*data/A: is a folder of the data'),
    ('data/label/new', ValueError, r'is a folder of the data'),
    ('masks', ValueError, r'show_dir .*masks: is the folder of the predicted masks as well'),
    ('theirs', FileExistsError, r'x\.png would be overwritten, which this package did not make'),
    ('new', None, ''),
])
def test_where_pictures_may_lie(folder: str, error: type, message: str, tmp_path: Path) -> None:
    info = {'img_path': f'{tmp_path}/data/A/x.tif', 'img_path2': f'{tmp_path}/data/B/x.tif',
            'seg_map_path': f'{tmp_path}/data/label/x.tif'}
    (tmp_path / 'theirs').mkdir()
    (tmp_path / 'theirs/x.png').write_text('drawn by hand')
    dataset = MagicMock(get_data_info=lambda _: info, __len__=lambda _: 1)
    runner = MagicMock()
    runner.test_loop.dataloader.dataset = dataset
    runner.test_loop.evaluator.metrics = [SimpleNamespace(output_dir=str(tmp_path / 'masks'))]
    hook = ChangeVisualizationHook(draw=True, show_dir=str(tmp_path / folder))
    with pytest.raises(error, match=message) if error else nullcontext():
        hook.before_test_epoch(runner)
    assert (tmp_path / 'theirs/x.png').read_text() == 'drawn by hand'
