"""Something else in the place of the selective scan, to measure or count what surrounds it."""
from contextlib import contextmanager
from typing import Callable, Iterator

from torch import Tensor

from mamba_cd_plugin.models.layers import ss2d


@contextmanager
def replaced_scan(function: Callable[..., Tensor]) -> Iterator[None]:
    """While this is open, every SS2D calls ``function`` with the arguments of ``cross_selective_scan``."""
    original = ss2d.cross_selective_scan
    ss2d.cross_selective_scan = function
    try:
        yield
    finally:
        ss2d.cross_selective_scan = original
