"""Loading checkpoints without running code from them."""
from pickle import UnpicklingError
from typing import Any, List, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader


def _history_method(owner: type, name: str) -> Any:
    """Stand-in for the ``getattr`` that a pickled HistoryBuffer asks for: it gives that class's statistics only.

    The real getattr on the allow-list would let a pickle walk from any allowed object to ``os.system``.
    """
    if owner is not HistoryBuffer or name not in ('current', 'data', 'max', 'mean', 'min', 'statistics'):
        raise UnpicklingError(f'getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def _allowed_types() -> List[Union[type, Tuple[Any, str]]]:
    """What mmengine writes beside tensors: log histories, which are HistoryBuffers of numpy arrays and scalars."""
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    allowed: list = [HistoryBuffer, np.ndarray, np.dtype, (_history_method, 'builtins.getattr')]
    for package in ('numpy.core', 'numpy._core'):  # the name before and since numpy 2
        allowed += [(multiarray._reconstruct, f'{package}.multiarray._reconstruct'),
                    (multiarray.scalar, f'{package}.multiarray.scalar')]
    allowed += [type(np.dtype(t)) for t in (np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint8, np.bool_)]
    return allowed


# Replaces mmengine's own for local files: with torch >= 2.6 upstream's cannot read its own training checkpoints, and
# the maintained one falls back, with a warning, to running whatever the file contains.
@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: Optional[Any] = None) -> dict:
    """Read a checkpoint file; every mmengine entry (load_from, resume, Pretrained) comes through here.

    Args:
        filename: path of the checkpoint.
        map_location: see torch.load.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint, or holds objects other than tensors and mmengine's own.
    """
    try:
        with torch.serialization.safe_globals(_allowed_types()):
            return torch.load(filename, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f'checkpoint {filename} does not exist') from None
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f'checkpoint {filename} was refused: {str(error).splitlines()[0]} Either it is truncated or no checkpoint at '
            'all, or it contains objects other than tensors, plain values and log histories, which could run code '
            'when loaded. If you trust its source, save its state_dict alone with torch.save and use that.') from error
