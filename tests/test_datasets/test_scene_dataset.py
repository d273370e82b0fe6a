"""Generated scenes in the loader: what they hold, that no scene comes twice, and the differences between dates."""

import numpy as np
import pytest
from mmengine.runner import Runner

from mamba_cd_plugin.datasets import FreshSceneSampler, RandomCamera, RandomMisregistration, SyntheticCDDataset
from mamba_cd_plugin.synthetic import generate_pair


def numbers(epoch: int, workers: int) -> list[str]:
    """The scenes of an epoch, as a loader delivers them."""
    pipeline = [dict(type='PackSegInputs', meta_keys=('img_path', ))]
    loader = Runner.build_dataloader(dict(
        batch_size=2, num_workers=workers, sampler=dict(type='FreshSceneSampler', shuffle=True),
        dataset=dict(type='SyntheticCDDataset', length=4, size=32, seed=3, pipeline=pipeline)), seed=0)
    loader.sampler.set_epoch(epoch)
    return [sample.img_path for batch in loader for sample in batch['data_samples']]


def test_a_scene_by_its_number():
    item = SyntheticCDDataset(length=4, size=(40, 48), seed=3)[9]
    pair = generate_pair((3, 1, 9, 1), (40, 48))
    assert np.array_equal(item['img'], np.concatenate([pair.a, pair.b], 2))
    assert np.array_equal(item['gt_seg_map'], pair.label == 255)
    assert item['seg_fields'] == ['gt_seg_map']
    assert item['img_shape'] == item['ori_shape'] == (40, 48)


def test_what_differs_is_passed_on():
    options = dict(easy=True, nuisances=['camera'], quiet_share=1.0)
    item = SyntheticCDDataset(length=4, size=32, seed=3, **options)[2]
    pair = generate_pair((3, 1, 2, 1), 32, **options)
    assert np.array_equal(item['img'], np.concatenate([pair.a, pair.b], 2))
    with pytest.raises(ValueError, match='nuisances: found clouds'):
        SyntheticCDDataset(nuisances=['clouds'])


@pytest.mark.parametrize('workers', [0, 2])
def test_every_epoch_has_scenes_of_its_own(workers):
    assert sorted(numbers(0, workers)) == [f'scene_3_{i}' for i in range(4)]
    assert sorted(numbers(5, workers)) == [f'scene_3_{i}' for i in range(20, 24)]


def test_processes_have_no_scene_in_common(monkeypatch):
    dataset, seen = SyntheticCDDataset(length=6, size=32), []
    for rank in (0, 1):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2))
        seen += list(FreshSceneSampler(dataset, seed=0))
    assert sorted(seen) == list(range(6))


@pytest.mark.parametrize('wrong', [dict(length=0), dict(seed=-1), dict(size=8)])
def test_numbers_without_sense_are_named(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))} = '):
        SyntheticCDDataset(**wrong)


class TestDateDifferences:

    @staticmethod
    def ramp() -> np.ndarray:
        y, x = np.mgrid[:64, :64]
        return np.dstack([2 * x + 40, 2 * y + 40, x + y + 40] * 2).astype(np.uint8)

    def test_each_date_has_its_own_camera(self):
        np.random.seed(0)
        before = self.ramp()
        after = RandomCamera(prob=1.)(dict(img=before))['img']
        assert after.dtype == np.uint8 and after.shape == before.shape
        assert np.array_equal(before, self.ramp())  # the data set's own picture is untouched
        a, b = after[..., :3].astype(int), after[..., 3:].astype(int)
        assert abs(a - before[..., :3]).mean() > 1 and abs(a - b).mean() > 2
        assert np.corrcoef(a[..., 0].ravel(), before[..., 0].ravel())[0, 1] > 0.9  # it is the same place

    def test_a_weak_camera_changes_little(self):
        np.random.seed(0)
        before = self.ramp()
        after = RandomCamera(prob=1., strength=0.01)(dict(img=before))['img']
        assert abs(after.astype(int) - before).mean() < 4  # a JPEG file is on the way

    @pytest.mark.parametrize('date', [0, 1])
    def test_one_date_moves_and_the_label_stays(self, date):
        np.random.seed(0)
        label = np.ones((64, 64), np.uint8)
        results = RandomMisregistration(prob=1., largest=2., date=date)(dict(img=self.ramp(), gt_seg_map=label))
        moved = results['img'][8:-8, 8:-8].astype(float) - self.ramp()[8:-8, 8:-8]
        still, other = (moved[..., 3:], moved[..., :3]) if date == 0 else (moved[..., :3], moved[..., 3:])
        assert not still.any()
        offset = np.hypot(other[..., 0], other[..., 1]) / 2  # the ramp rises by 2 a pixel
        assert 0.2 < offset.max() <= 2.5
        assert (results['gt_seg_map'] == 1).all()

    @pytest.mark.parametrize('transform', [RandomCamera, RandomMisregistration])
    def test_probability(self, transform):
        assert np.array_equal(transform(prob=0.)(dict(img=self.ramp()))['img'], self.ramp())
        with pytest.raises(ValueError, match='prob = 2'):
            transform(prob=2)
