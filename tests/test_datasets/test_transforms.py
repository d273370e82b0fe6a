from collections import Counter

import mmcv
import numpy as np
import pytest
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.registry import TRANSFORMS

from mamba_cd_plugin.datasets import PairPhotoMetricDistortion, RandomChangeCrop, RandomSwapDates

CROP = [20, 20]  # a list, as --cfg-options gives it
GEOMETRIC = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomFlip', prob=[0.4, 0.4], direction=['horizontal', 'vertical']),
    dict(type='RandomRotFlip', rotate_prob=0., flip_prob=1.),
    dict(type='RandomChangeCrop', crop_size=CROP, change_prob=0.5),
    dict(type='Pad', size=(50, 40), pad_val=dict(img=0., seg=255)),
]


def sample(height=32, width=32, seed=0):
    rng = np.random.RandomState(seed)
    img = rng.randint(1, 256, (height, width, 6), np.uint8)
    label = (rng.rand(height, width) < 0.05).astype(np.uint8)
    return dict(img=img, gt_seg_map=label, seg_fields=['gt_seg_map'], img_shape=img.shape[:2])


@pytest.mark.parametrize('config', GEOMETRIC, ids=lambda config: config['type'])
@pytest.mark.parametrize('seed', range(8))
def test_a_pair_moves_as_each_image_alone_and_as_its_label(config, seed):
    """The stock transforms are used on 6 channels on the strength of this."""
    transform = TRANSFORMS.build(config)
    pair = sample()
    pair['img'][..., 0] = pair['gt_seg_map'] + 1  # a copy of the label, to follow it; 0 stays free for the padding
    moved = []
    for channels in (slice(0, 6), slice(0, 3), slice(3, 6)):
        np.random.seed(seed)
        moved.append(transform(dict(
            pair, img=pair['img'][..., channels].copy(), gt_seg_map=pair['gt_seg_map'].copy())))
    whole, a, b = moved
    assert (whole['img'] == np.dstack([a['img'], b['img']])).all()
    assert (whole['gt_seg_map'] == a['gt_seg_map']).all()
    inside = whole['gt_seg_map'] != 255
    assert (whole['img'][inside][:, 0] == whole['gt_seg_map'][inside] + 1).all()
    assert (whole['img'][~inside] == 0).all()


def test_the_eight_orientations_are_equally_likely():
    transforms = [TRANSFORMS.build(config) for config in (GEOMETRIC[2], GEOMETRIC[0])]
    square = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    np.random.seed(0)
    counts = Counter()
    for _ in range(1600):
        results = dict(img=square.copy(), seg_fields=[])
        for transform in transforms:
            results = transform(results)
        counts[tuple(results['img'].ravel())] += 1
    assert len(counts) == 8
    # 200 expected of each; standard deviation sqrt(1600 / 8 * 7 / 8) = 13.2, four of them allowed
    assert max(abs(count - 200) for count in counts.values()) < 53


class TestRandomChangeCrop:

    def crops(self, y, x, change_prob, draws, size=64, crop=16):
        label = np.zeros((size, size), np.uint8)
        label[y, x] = 1
        transform = RandomChangeCrop(crop, change_prob)
        np.random.seed(0)
        return [transform.crop_bbox(dict(gt_seg_map=label)) for _ in range(draws)]

    @pytest.mark.parametrize('change_prob', [0., 0.3, 0.7])
    def test_favours_the_changed_pixel_as_often_as_it_says(self, change_prob):
        draws = 2000
        held = np.mean([y1 <= 40 < y2 and x1 <= 20 < x2 for y1, y2, x1, x2 in self.crops(40, 20, change_prob, draws)])
        uniform = (16 / 49)**2  # of 49 starts along an axis, 16 hold a pixel far from the border
        expected = change_prob + (1 - change_prob) * uniform
        assert abs(held - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)

    def test_all_windows_around_the_pixel_occur_and_no_other(self):
        boxes = self.crops(40, 3, 1., 800)
        assert {y1 for y1, *_ in boxes} == set(range(25, 41))
        assert {x1 for _, _, x1, _ in boxes} == set(range(0, 4))  # near the left border fewer windows fit
        assert all(y2 - y1 == x2 - x1 == 16 for y1, y2, x1, x2 in boxes)

    def test_corners(self):
        assert set(self.crops(63, 63, 1., 20)) == {(48, 64, 48, 64)}
        assert set(self.crops(0, 0, 1., 20)) == {(0, 16, 0, 16)}

    def test_oblong_images_and_windows(self):
        label = np.zeros((30, 50), np.uint8)
        label[29, 49] = 1
        assert RandomChangeCrop((10, 20), 1.).crop_bbox(dict(gt_seg_map=label)) == (20, 30, 30, 50)

    def test_without_change_it_is_uniform(self):
        transform = RandomChangeCrop(16, 1.)
        np.random.seed(0)
        starts = {transform.crop_bbox(dict(gt_seg_map=np.zeros((20, 16), np.uint8)))[0] for _ in range(200)}
        assert starts == set(range(5))

    def test_ignored_pixels_do_not_attract(self):
        label = np.full((64, 64), 255, np.uint8)
        label[0, 0] = 1
        np.random.seed(0)
        assert RandomChangeCrop(16, 1.).crop_bbox(dict(gt_seg_map=label)) == (0, 16, 0, 16)

    def test_smaller_images_are_padded_and_ignored(self):
        results = sample(12, 30)
        crop, pad = (TRANSFORMS.build(config) for config in (
            GEOMETRIC[3], dict(type='Pad', size=CROP, pad_val=dict(img=0., seg=255))))
        results = pad(crop(results))
        assert results['img'].shape == (*CROP, 6)
        assert (results['gt_seg_map'][12:] == 255).all()
        assert (results['gt_seg_map'][:12] <= 1).all()
        assert (results['img'][12:] == 0).all()

    def test_impossible_probability(self):
        with pytest.raises(ValueError, match='change_prob is 1.5; expected a probability'):
            RandomChangeCrop(16, 1.5)


class TestRandomSwapDates:

    def test_swaps_images_and_their_paths_but_not_the_label(self):
        results = dict(sample(), img_path='a', img_path2='b')
        swapped = RandomSwapDates(1.)(dict(results))
        assert (swapped['img'][..., :3] == results['img'][..., 3:]).all()
        assert (swapped['img'][..., 3:] == results['img'][..., :3]).all()
        assert (swapped['img_path'], swapped['img_path2']) == ('b', 'a')
        assert swapped['gt_seg_map'] is results['gt_seg_map']

    def test_probability(self):
        results = sample(4, 4)
        assert RandomSwapDates(0.)(dict(results))['img'] is results['img']
        np.random.seed(0)
        swaps = sum((RandomSwapDates(0.25)(dict(results))['img'] != results['img']).any() for _ in range(800))
        assert abs(swaps - 200) < 4 * np.sqrt(800 * 0.25 * 0.75)
        with pytest.raises(ValueError, match='prob is -1; expected'):
            RandomSwapDates(-1)


class TestPairPhotoMetricDistortion:

    def test_equals_the_stock_transform_on_one_date_after_the_other(self):
        img = sample()['img']
        for seed in range(10):
            np.random.seed(seed)
            pair = PairPhotoMetricDistortion()(dict(img=img.copy()))['img']
            np.random.seed(seed)
            stock = PhotoMetricDistortion()
            dates = [stock(dict(img=img[..., channels].copy()))['img'] for channels in (slice(0, 3), slice(3, 6))]
            assert pair.dtype == np.uint8
            assert (pair == np.dstack(dates)).all()

    def test_dates_are_distorted_independently(self):
        img = sample()['img']
        img[..., 3:] = img[..., :3]
        np.random.seed(0)
        out = [PairPhotoMetricDistortion()(dict(img=img.copy()))['img'] for _ in range(20)]
        assert sum((pair[..., :3] != pair[..., 3:]).any() for pair in out) > 15

    @pytest.mark.parametrize('shift', [-17, -5, 8, 17])
    def test_rgb_only_mirrors_the_hue_shift(self, shift, monkeypatch):
        """mmseg takes the channels for BGR; the docstring says why that does no harm."""
        rgb = sample()['img'][..., :3]
        monkeypatch.setattr(np.random, 'randint', lambda low, high=None: 1 if high is None else shift)
        got = PairPhotoMetricDistortion(hue_delta=18).hue(rgb.copy())
        hsv = mmcv.bgr2hsv(np.ascontiguousarray(rgb[..., ::-1]))
        hsv[..., 0] = (hsv[..., 0].astype(int) - shift) % 180
        expected = mmcv.hsv2bgr(hsv)[..., ::-1]
        # 8-bit hue has steps of 2 degrees: 255 * 2 / 60 = 8.5 grey levels
        assert np.abs(got.astype(int) - expected).max() <= 9
        assert np.abs(got.astype(int) - expected).mean() < 2
