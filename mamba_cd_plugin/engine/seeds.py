"""Random numbers that follow from the seed and the place in the training alone.

So a resumed run draws what the uninterrupted one would have drawn: nothing about random generators has to be saved.
The number of data workers does not matter either, nor how the pairs are shared among processes.
"""
import random
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset, Sampler


def seed_all(*numbers: int) -> None:
    """Seed the generators of Python, NumPy and torch, on every device, with a mixture of numbers."""
    torch.manual_seed(_seed_cpu(*numbers))


def _seed_cpu(*numbers: int) -> int:
    state = [int(number) for number in np.random.SeedSequence(numbers).generate_state(3)]
    random.seed(state[0])
    np.random.seed(state[1])
    torch.default_generator.manual_seed(state[2])
    return state[2]


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """:func:`seed_all` for a while, on the CPU; afterwards the generators go on as if nothing had been drawn."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_cpu(*numbers)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


class SeededIndex(int):
    """Index of a pair, with the numbers that its augmentation is seeded with; it reaches the data workers as it is."""
    seed: tuple[int, ...]

    def __new__(cls, index: int, seed: tuple[int, ...]) -> 'SeededIndex':
        """An index and its seed."""
        made = super().__new__(cls, index)
        made.seed = seed
        return made

    def __reduce__(self) -> tuple:
        """Pickled on the way to a worker."""
        return SeededIndex, (int(self), self.seed)


class SeededSampler(Sampler):
    """A sampler of mmengine whose indices carry their seed, and which can begin in the middle of an epoch.

    Args:
        sampler: Config of the sampler.
        dataset: Data set of the loader.
        seed: Seed of the run; None where every process draws one of its own.
    """

    def __init__(self, sampler: dict, dataset: Sized, seed: int | None = None) -> None:
        shown = dataset.dataset if isinstance(dataset, SeededDataset) else dataset
        self.sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=shown, seed=seed))
        self.seed = int(getattr(self.sampler, 'seed', None) or seed or 0)
        self._size = len(dataset)
        self._skipped = 0

    def __len__(self) -> int:
        """Number of indices that the sampler gives."""
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the sampler."""
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def skip(self, num_samples: int) -> None:
        """Leave out so many samples of this process when it is iterated next: those that were trained already."""
        self._skipped = num_samples

    def __iter__(self) -> Iterator[SeededIndex]:
        """Indices of the epoch, or without end."""
        skipped, self._skipped = self._skipped, 0
        rank, processes = get_dist_info()
        endless = isinstance(self.sampler, InfiniteSampler)
        for number, index in enumerate(islice(self.sampler, skipped, None), skipped):
            epoch = (number * processes + rank) // self._size if endless else getattr(self.sampler, 'epoch', 0)
            # Not with the number of the draw: it differs with the number of processes.
            turn = getattr(index, 'turn', 0)  # a pair that comes again in an epoch is augmented in another way
            place = self.seed, epoch, int(index)
            yield SeededIndex(index, (*place, turn) if turn else place)


class SeededDataset(Dataset):
    """A data set that draws the augmentation of a pair from the seed in its index; all else is the data set's own.

    Args:
        dataset: Config of the data set.
    """

    def __init__(self, dataset: dict) -> None:
        self.dataset = DATASETS.build(dataset)

    def __getattr__(self, name: str) -> Any:
        """Attributes of the data set, which hooks and loops ask for."""
        if name == 'dataset':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        """Number of samples of the data set."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        """One pair."""
        if not isinstance(index, SeededIndex):
            return self.dataset[index]
        with seeded(*index.seed):
            return self.dataset[int(index)]


def with_seeds(dataloader: Any) -> Any:
    """A data loader's config whose every draw follows from the seed, the epoch and the pair."""
    if not isinstance(dataloader, dict) or not isinstance(dataloader.get('sampler'), dict) or \
            not isinstance(dataloader.get('dataset'), dict):
        return dataloader
    return {**dataloader, 'sampler': dict(type=SeededSampler, sampler=dataloader['sampler']),
            'dataset': dict(type=SeededDataset, dataset=dataloader['dataset'])}
