from functools import partial

import numpy as np
import pytest

from mamba_cd_plugin.datasets import LoadChangeLabel, LoadImagePair


@pytest.fixture
def pair(tmp_path, save):
    return partial(write_pair, tmp_path, save)


def write_pair(tmp_path, save, shape_a=(8, 6), shape_b=(8, 6), shape_label=(8, 6)):
    rng = np.random.RandomState(0)
    a, b = (rng.randint(0, 256, (*shape, 3), np.uint8) for shape in (shape_a, shape_b))
    label = rng.randint(0, 2, shape_label).astype(np.uint8)
    results = dict(
        img_path=str(save(tmp_path / 'A/x.png', a)), img_path2=str(save(tmp_path / 'B/x.png', b)),
        seg_map_path=str(save(tmp_path / 'label/x.png', label * 255)), seg_fields=[])
    return results, a, b, label


def test_pair_becomes_six_rgb_channels(pair):
    results, a, b, label = pair()
    results = LoadChangeLabel()(LoadImagePair()(results))
    assert results['img'].dtype == np.uint8
    assert (results['img'] == np.dstack([a, b])).all()
    assert results['img_shape'] == results['ori_shape'] == (8, 6)
    assert (results['gt_seg_map'] == label).all()
    assert results['seg_fields'] == ['gt_seg_map']


def test_images_of_different_size(pair):
    results, *_ = pair(shape_b=(6, 8))
    with pytest.raises(ValueError, match='A/x.png is 6 x 8 pixels, but its counterpart .*B/x.png is 8 x 6; expected'):
        LoadImagePair()(results)


def test_label_of_another_size(pair):
    results, *_ = pair(shape_label=(4, 3))
    with pytest.raises(ValueError, match='label/x.png is 3 x 4 pixels, but its image .*A/x.png is 6 x 8; expected'):
        LoadChangeLabel()(LoadImagePair()(results))


def test_ignore_value_of_the_data_set(pair):
    results, _, _, label = pair()
    results = LoadChangeLabel()(LoadImagePair()(dict(results, ignore_value=255)))
    assert (results['gt_seg_map'] == label * 255).all()  # 255 again, now mmseg's ignore_index
