"""The share of pairs with change in an epoch."""
import pickle
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mmengine.runner import Runner
from PIL import Image

from mamba_cd_plugin.datasets import ChangeBalancedSampler
from mamba_cd_plugin.engine.seeds import with_seeds

TINY = (32, 32)  # pixels of the tiny pairs


class Pairs:
    """All of a data set that the sampler looks at: 10 pairs, of which 2 and 7 show a change."""

    def __init__(self, changed: tuple = (2, 7)) -> None:
        self.changed = changed

    def __len__(self) -> int:
        return 10

    def find_changed(self) -> np.ndarray:
        """Whether each shows a change."""
        return np.isin(np.arange(10), self.changed)


def test_an_epoch_has_the_share_and_no_pair_before_its_turn() -> None:
    sampler: Any = ChangeBalancedSampler(Pairs(), change_share=0.5, seed=3)
    first = list(sampler)
    counts = Counter(first)
    assert len(first) == len(sampler) == 10
    assert sorted((counts[2], counts[7])) == [2, 3] and sum(counts[i] for i in (2, 7)) == 5
    assert all(counts[i] <= 1 for i in range(10) if i not in (2, 7))
    assert first == list(sampler)  # a resumed run draws the same
    sampler.set_epoch(1)
    assert first != list(sampler)


def test_data_sets_are_joined_and_repeated(tiny_pairs: Path, tmp_path: Path) -> None:
    """Four pairs that all show a change, and twice the same with an empty first label."""
    shutil.copytree(tiny_pairs / 'train', tmp_path / 'train')
    Image.new('L', TINY).save(tmp_path / 'train/label/0.png')
    one, other = (dict(type='PairCDDataset', data_root=str(root), pipeline=[]) for root in (tiny_pairs, tmp_path))
    both = dict(type='ConcatDataset', datasets=[one, dict(type='RepeatDataset', dataset=other, times=2)])
    loader = Runner.build_dataloader(with_seeds(dict(
        batch_size=2, num_workers=0, sampler=dict(type='ChangeBalancedSampler', change_share=0.5), dataset=both)), 0)
    assert loader.sampler.sampler.unchanged.tolist() == [4, 8]
    assert Counter(index in (4, 8) for index in map(int, loader.sampler)) == {True: 6, False: 6}
    with pytest.raises(TypeError, match=r'list has no find_changed\(\)'):
        ChangeBalancedSampler([0, 1])


@pytest.mark.parametrize('changed', [(), tuple(range(10))])
def test_data_of_one_kind_are_all_shown(changed: tuple) -> None:
    assert sorted(ChangeBalancedSampler(Pairs(changed), seed=0)) == list(range(10))


def test_two_processes_share_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(ChangeBalancedSampler(Pairs(), seed=5))
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2))
        parts.append(list(ChangeBalancedSampler(Pairs(), seed=5)))
    assert parts == [whole[::2], whole[1::2]]


@pytest.mark.parametrize('share', [0., 1., 1.5])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match='change_share is .*; expected a share above 0 and below 1'):
        ChangeBalancedSampler(SimpleNamespace(), change_share=share)


def test_an_epoch_can_be_longer_than_the_data() -> None:
    sampler = ChangeBalancedSampler(Pairs(), change_share=0.5, length=40, seed=0)
    counts = Counter(sampler)
    assert len(sampler) == sum(counts.values()) == 40
    assert (counts[2], counts[7]) == (10, 10) and all(counts[i] in (2, 3) for i in range(10) if i not in (2, 7))
    with pytest.raises(ValueError, match='length is 0; expected at least one pair'):
        ChangeBalancedSampler(Pairs(), length=0)


def test_labels_that_are_known_are_not_read() -> None:
    known = ChangeBalancedSampler(range(10), change_share=0.5, seed=3, shows_change=[i in (2, 7) for i in range(10)])
    assert list(known) == list(ChangeBalancedSampler(Pairs(), change_share=0.5, seed=3))


def test_a_pair_that_comes_again_is_told_from_the_first_time() -> None:
    sampler = ChangeBalancedSampler(Pairs(), change_share=0.5, rounds=4, seed=0)
    drawn = list(sampler)
    assert len(sampler) == len(drawn) == 40
    turns = {number: sorted(index.turn for index in drawn if index == number) for number in range(10)}
    assert turns[2] == turns[7] == list(range(10))  # 20 draws of two pairs
    assert all(turns[i] in ([0, 1], [0, 1, 2]) for i in range(10) if i not in (2, 7))
    again = pickle.loads(pickle.dumps(drawn[0]))  # on its way to a worker
    assert (again, again.turn) == (drawn[0], drawn[0].turn)
