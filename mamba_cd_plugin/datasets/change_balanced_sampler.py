"""A sampler that shows pairs with change more often than they occur."""
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmseg.registry import DATA_SAMPLERS

from .pair_dataset import PairCDDataset


@DATA_SAMPLERS.register_module()
class ChangeBalancedSampler(DefaultSampler):
    """mmengine's sampler, with a fixed share of pairs that show a change.

    37 % of LEVIR-CD's tiles hold a changed pixel, so that most steps at random teach only what is not a building. Pairs
    of the group that is drawn from more often than it occurs come more than once, all of them equally often but for
    one; of the other group some are left out, others in each epoch.

    Args:
        dataset: The pairs; their labels are read once.
        change_share: Share of pairs with a changed pixel, above 0 and below 1. Where the data hold only pairs with or
            only pairs without change, it does not matter.
        length: Pairs in an epoch. Default None: as many as the data set has. With few pairs a larger number saves the
            time that each epoch takes to begin and to end.
        **kwargs: ``seed`` and ``round_up``, see mmengine's DefaultSampler.

    Raises:
        ValueError: If ``change_share`` or ``length`` is out of range.
    """

    def __init__(self, dataset: PairCDDataset, change_share: float = 0.7, length: int | None = None,
                 **kwargs: Any) -> None:
        if not 0 < change_share < 1:
            raise ValueError(f'change_share is {change_share}; expected a share above 0 and below 1')
        if length is not None and length < 1:
            raise ValueError(f'length is {length}; expected at least one pair in an epoch')
        super().__init__(dataset, **kwargs)
        if length is not None:
            self.num_samples = -(-length // self.world_size)
            self.total_size = self.num_samples * self.world_size
        changed = dataset.find_changed()
        self.changed, self.unchanged = np.flatnonzero(changed), np.flatnonzero(~changed)
        if not self.changed.size or not self.unchanged.size:
            change_share = float(self.changed.size > 0)
        self.num_changed = round(change_share * self.total_size)

    def __iter__(self) -> Iterator[int]:
        """The indices of this process; the same for the same seed and epoch."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        drawn = torch.cat([_draw(self.changed, self.num_changed, generator),
                           _draw(self.unchanged, self.total_size - self.num_changed, generator)])
        order = torch.randperm(len(drawn), generator=generator)
        return iter(drawn[order][self.rank:self.total_size:self.world_size].tolist())


def _draw(group: np.ndarray, count: int, generator: torch.Generator) -> torch.Tensor:
    """``count`` members of a group, none of them a second time before all have come."""
    rounds = -(-count // max(len(group), 1))
    order = [torch.randperm(len(group), generator=generator) for _ in range(rounds)]
    return torch.from_numpy(group)[torch.cat(order)[:count]] if order else torch.empty(0, dtype=torch.long)
