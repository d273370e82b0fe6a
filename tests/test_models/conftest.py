"""Weights and pairs that follow from their names, as data/README.md says: what the authors' code was run with."""
import math
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

Noise = Callable[[str, tuple], Tensor]


@pytest.fixture(scope='session')
def noise() -> Noise:
    """Normal numbers of a shape that depend on the key alone; numpy has promised never to change this generator."""

    def draw(key: str, shape: tuple) -> Tensor:
        return torch.from_numpy(np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)).float()

    return draw


@pytest.fixture(scope='session')
def weight(noise: Noise) -> Callable[..., Tensor]:
    """A weight by its official name and its shape; ``scale`` is for those of two and more dimensions."""

    def draw(name: str, shape: tuple, scale: float = 1) -> Tensor:
        if name.endswith('num_batches_tracked'):
            return torch.tensor(0)
        if len(shape) > 1:
            return noise(name, shape) * scale / math.sqrt(math.prod(shape[1:]))
        return 0.1 * noise(name, shape) + (0 if name.endswith(('bias', 'running_mean')) else 1)

    return draw
