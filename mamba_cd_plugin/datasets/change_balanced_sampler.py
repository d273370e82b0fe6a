"""A sampler that shows pairs with change more often than they occur."""
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import ConcatDataset, DefaultSampler, RepeatDataset
from mmseg.registry import DATA_SAMPLERS


class RepeatedIndex(int):
    """Index of a pair, with the number of times that it came before in the same epoch.

    Attributes:
        turn: 0 when it comes first.
    """
    turn: int

    def __new__(cls, index: int, turn: int) -> 'RepeatedIndex':
        """An index and its turn."""
        made = super().__new__(cls, index)
        made.turn = turn
        return made

    def __reduce__(self) -> tuple:
        """Pickled on the way to a worker."""
        return RepeatedIndex, (int(self), self.turn)


@DATA_SAMPLERS.register_module()
class ChangeBalancedSampler(DefaultSampler):
    """mmengine's sampler, with a fixed share of pairs that show a change.

    37 % of LEVIR-CD's tiles hold a changed pixel, so that most steps at random teach only what is not a building. Pairs
    of the group that is drawn from more often than it occurs come more than once, all of them equally often but for
    one; of the other group some are left out, others in each epoch.

    Args:
        dataset: The pairs; also several data sets in mmengine's ConcatDataset or RepeatDataset.
        change_share: Share of pairs with a changed pixel, above 0 and below 1. Where the data hold only pairs with or
            only pairs without change, it does not matter.
        length: Pairs in an epoch. Default None: as many as the data set has. With few pairs a larger number saves the
            time that each epoch takes to begin and to end.
        rounds: Factor on the number of pairs in an epoch.
        shows_change: Whether each pair has a changed pixel, where that is known; by default its label is read.
        **kwargs: ``seed`` and ``round_up``, see mmengine's DefaultSampler.

    Raises:
        TypeError: If the data set cannot tell which pairs show a change, and ``shows_change`` does not either.
        ValueError: If ``change_share``, ``length`` or ``rounds`` is out of range.
    """

    def __init__(self, dataset: Any, change_share: float = 0.7, length: int | None = None, rounds: int = 1,
                 shows_change: Sequence[bool] | None = None, **kwargs: Any) -> None:
        if not 0 < change_share < 1:
            raise ValueError(f'change_share is {change_share}; expected a share above 0 and below 1')
        if length is not None and length < 1:
            raise ValueError(f'length is {length}; expected at least one pair in an epoch')
        if rounds < 1:
            raise ValueError(f'rounds is {rounds}; expected at least 1')
        super().__init__(dataset, **kwargs)
        if length is not None or rounds > 1:
            self.num_samples = -(-(length or len(dataset)) * rounds // self.world_size)
            self.total_size = self.num_samples * self.world_size
        self.shows_change = np.asarray(_find_changed(dataset) if shows_change is None else shows_change, bool)
        self.changed, self.unchanged = np.flatnonzero(self.shows_change), np.flatnonzero(~self.shows_change)
        if not self.changed.size or not self.unchanged.size:
            change_share = float(self.changed.size > 0)
        self.num_changed = round(change_share * self.total_size)

    def __iter__(self) -> Iterator[int]:
        """The indices of this process; the same for the same seed and epoch."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        changed = _draw(self.changed, self.num_changed, generator)
        unchanged = _draw(self.unchanged, self.total_size - self.num_changed, generator)
        drawn = changed + unchanged
        order = torch.randperm(len(drawn), generator=generator).tolist()
        return iter([drawn[place] for place in order[self.rank:self.total_size:self.world_size]])


def _find_changed(dataset: Any) -> np.ndarray:
    """Whether each pair of a data set shows a change, bool (N,)."""
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([_find_changed(each) for each in dataset.datasets])
    if isinstance(dataset, RepeatDataset):
        return np.tile(_find_changed(dataset.dataset), dataset.times)
    if not hasattr(dataset, 'find_changed'):
        raise TypeError(f'ChangeBalancedSampler: {type(dataset).__name__} has no find_changed(), which says for each '
                        'pair whether its label shows a change, as PairCDDataset does. Add it, give the sampler '
                        'shows_change, or choose DefaultSampler')
    return np.asarray(dataset.find_changed(), bool)


def _draw(group: np.ndarray, count: int, generator: torch.Generator) -> list[RepeatedIndex]:
    """``count`` members of a group, none of them a second time before all have come."""
    rounds = -(-count // max(len(group), 1))
    drawn = [RepeatedIndex(int(group[place]), turn) for turn in range(rounds)
             for place in torch.randperm(len(group), generator=generator).tolist()]
    return drawn[:count]
