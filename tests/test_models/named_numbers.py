"""Weights and pairs that follow from their names, as data/README.md says: what the authors' code was run with."""
import math
import zlib

import numpy as np
import torch
from torch import Tensor


def noise(key: str, shape: tuple) -> Tensor:
    """Normal numbers that depend on the key alone; numpy has promised never to change this generator."""
    return torch.from_numpy(np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)).float()


def weight(name: str, shape: tuple, scale: float = 1) -> Tensor:
    """A weight by its official name; ``scale`` is for those of two and more dimensions."""
    if name.endswith('num_batches_tracked'):
        return torch.tensor(0)
    if len(shape) > 1:
        return noise(name, shape) * scale / math.sqrt(math.prod(shape[1:]))
    return 0.1 * noise(name, shape) + (0 if name.endswith(('bias', 'running_mean')) else 1)
