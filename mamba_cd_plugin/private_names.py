"""Private names of other libraries, all that this package uses, each with the versions on which it was tried.

They may change with any release of theirs. ``tests/test_private_names.py`` says which one did. Protected members of a
base class that ours extends (``self._fully_initialized`` of a data set) are not among them: they are there for that.
"""
import atexit
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn


def end_process(status: int) -> NoReturn:
    """End the process at once: do what was registered for its end, but do not take modules apart; Python 3.10 to 3.13.

    Args:
        status: The exit status.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def torch_scan() -> Callable:
    """torch's scan operator, which its exporters know and which has no public name yet; torch 2.9 to 2.13."""
    from torch._higher_order_ops.scan import scan
    return scan


def numpy_core() -> Any:
    """The module in which numpy's pickles look for their functions, under either name; numpy 1.26 and 2.0 to 2.4."""
    import numpy as np
    return np._core if hasattr(np, '_core') else np.core


def gdal_error() -> type[Exception]:
    """The base of GDAL's own errors, which pass through rasterio where a CRS is local; rasterio 1.3 and 1.4."""
    from rasterio._err import CPLE_BaseError
    return CPLE_BaseError


def set_epochs(loop: Any, epochs: int) -> None:
    """Give a training loop of mmengine another number of epochs while it runs; mmengine 0.10.

    Its hooks read them, for the time that is left and the last checkpoint, but nothing public sets them.
    """
    loop._max_epochs, loop._max_iters = epochs, epochs * len(loop.dataloader)


def count_epoch(loop: Any) -> None:
    """Tell a training loop of mmengine that an epoch is over, which its own ``run_epoch`` does; mmengine 0.10."""
    loop._epoch += 1
