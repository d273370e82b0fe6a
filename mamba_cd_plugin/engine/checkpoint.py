"""Loading checkpoints without running code from them."""
import errno
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from ..private_names import numpy_core
from ..zoo import describe_weights, resolve_checkpoint
from .config_text import parse_config_text
from .safetensors_file import SUFFIX, read_safetensors

# Read by torch.load itself at every call. The first wins over weights_only=False; the second, a customary way round
# mmengine's trouble with torch 2.6, must not be set at the same time.
FORCE_SAFE, FORCE_UNSAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'

_trusted = False


def trust_checkpoints(trusted: bool = True) -> None:
    """Let every checkpoint from here on run the code in it; for the flag ``--trust-checkpoint`` of the tools."""
    global _trusted
    _trusted = trusted
    if trusted:
        print_log('Checkpoints are trusted: whatever code they contain will be run', logger='current')


def _history_method(owner: type, name: str) -> Any:
    """Stand-in for the ``getattr`` that a pickled HistoryBuffer asks for: it gives that class's statistics only.

    The real getattr on the allow-list would let a pickle walk from any allowed object to ``os.system``.
    """
    if owner is not HistoryBuffer or name not in ('current', 'data', 'max', 'mean', 'min', 'statistics'):
        raise UnpicklingError(f'getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def _allowed_types() -> list[Any]:
    """Classes that mmengine's checkpoints contain besides tensors: HistoryBuffers of numpy arrays and scalars."""
    core = numpy_core()
    allowed: list = [HistoryBuffer, np.ndarray, np.dtype, (_history_method, 'builtins.getattr')]
    for package in ('numpy.core', 'numpy._core'):  # the name before and since numpy 2
        allowed += [(core.multiarray._reconstruct, f'{package}.multiarray._reconstruct'),
                    (core.multiarray.scalar, f'{package}.multiarray.scalar')]
    allowed += [type(np.dtype(t)) for t in (np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint8, np.bool_)]
    return allowed


@contextmanager
def _weights_only() -> Iterator[None]:
    """Make every torch.load inside, however it is called, refuse all but tensors, plain values and log histories."""
    if not hasattr(torch.serialization, 'safe_globals'):
        raise RuntimeError(f'torch {torch.__version__} cannot read a checkpoint without the danger of running code '
                           'from it (CVE-2025-32434); install torch 2.6 or newer, or pass --trust-checkpoint')
    before = {key: os.environ.pop(key) for key in (FORCE_SAFE, FORCE_UNSAFE) if key in os.environ}
    os.environ[FORCE_SAFE] = '1'
    try:
        with torch.serialization.safe_globals(_allowed_types()):
            yield
    finally:
        del os.environ[FORCE_SAFE]
        os.environ.update(before)


def _safely(load: Callable[..., dict]) -> Callable[..., dict]:
    """Wrap one of CheckpointLoader's loaders: the file is read as data only, and its content is checked."""

    @wraps(load)
    def guarded(filename: str, map_location: Any | None = None) -> dict:
        if str(filename).partition('?')[0].endswith(SUFFIX):
            raise ValueError(f'checkpoint {filename}: {SUFFIX} files are read from the disk only; download it, and '
                             'name the file')
        if _trusted:
            return load(filename, map_location)
        try:
            with _weights_only():
                checkpoint = load(filename, map_location)
        except Exception as error:  # a broken stream makes torch's restricted unpickler raise nearly anything
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a seek to before the beginning
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f'checkpoint {filename} was refused: {reason} Either it is truncated or no checkpoint at all, or it '
                'contains objects other than tensors, plain values and log histories, which could run code when '
                'loaded. If you trust its source, pass --trust-checkpoint.') from error
        _check_meta(checkpoint, filename)
        return checkpoint

    return guarded


def _check_meta(checkpoint: Any, filename: str) -> None:
    """Refuse code in ``meta['config']``: mmengine's ``Runner.resume`` runs that text as Python."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if not isinstance(meta, (dict, type(None))):
        raise ValueError(f'checkpoint {filename} was refused: its meta is a {type(meta).__name__}, expected a dict')
    if meta and 'config' in meta:
        parse_config_text(str(meta['config']), f'checkpoint {filename}')


@_safely
def _load_pickle(filename: str, map_location: Any | None = None) -> dict:
    # The old format is read from memory: from a file, Python reserves as many bytes as a damaged length in it says.
    source = filename if zipfile.is_zipfile(filename) else io.BytesIO(Path(filename).read_bytes())
    return torch.load(source, map_location=map_location, weights_only=not _trusted)


def load_from_local(filename: str, map_location: Any | None = None) -> dict:
    """Read a checkpoint file as data only.

    Args:
        filename: Path of the checkpoint, .safetensors or what torch.save writes; or the name of packaged weights.
        map_location: See torch.load; a .safetensors file is read on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, or holds objects other than tensors and mmengine's own.
    """
    filename = os.path.expanduser(filename)
    if resolve_checkpoint(filename) != filename:  # of a path, whoever found it has told already
        filename = find_checkpoint(filename)
    _require_file(filename)
    return read_safetensors(filename) if filename.endswith(SUFFIX) else _load_pickle(filename, map_location)


def find_checkpoint(name: str | Path) -> str:
    """What a path, an address or the name of packaged weights means; the log says what those are, and their terms.

    Args and errors are those of :func:`~mamba_cd_plugin.zoo.resolve_checkpoint`.
    """
    path = resolve_checkpoint(name)
    for line in describe_weights(path):
        print_log(line, logger='current')
    return path


def require_checkpoint(name: str | Path) -> str:
    """:func:`find_checkpoint`, before anything is built that takes long.

    Raises:
        FileNotFoundError: If there is no such file, and no weights of that name.
    """
    path = find_checkpoint(name)
    if '://' not in path:
        _require_file(os.path.expanduser(path))
    return path


def _require_file(filename: str) -> None:
    if not os.path.isfile(filename):
        raise FileNotFoundError(f'checkpoint {filename} does not exist')


# mmengine's loaders by what an address begins with. Those that download first read the file by torch.hub, without
# restriction.
_LOADERS = {
    ('http://', 'https://'): 'load_from_http',
    ('modelzoo://', 'torchvision://'): 'load_from_torchvision',
    ('open-mmlab://', 'openmmlab://'): 'load_from_openmmlab',
    ('mmcls://', ): 'load_from_mmcls',
    ('pavi://', ): 'load_from_pavi',
    (r'(\S+\:)?s3://', r'(\S+\:)?petrel://'): 'load_from_ceph',
}
_in_force = False


def use_safe_loaders() -> None:
    """Put safe loaders in the place of mmengine's, for the rest of the process: the first thing that our tools do.

    Every entry of mmengine (``load_from``, ``resume``, ``Pretrained``) comes through them. mmengine's own do not do:
    with torch 2.6 and newer upstream's cannot read its own training checkpoints, and the maintained one falls back,
    with a warning, to running whatever the file contains.
    """
    global _in_force
    if _in_force:
        return
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    for prefixes, name in _LOADERS.items():
        CheckpointLoader.register_scheme(prefixes, _safely(getattr(mmengine_checkpoint, name)), force=True)
    _in_force = True


def load_safely(address: str, map_location: Any | None = None) -> dict:
    """Read a checkpoint from a path or an address that mmengine knows, whether or not the loaders are in force.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is refused, see :func:`load_from_local`.
    """
    if '://' not in address:
        return load_from_local(address, map_location)
    load = CheckpointLoader.load_checkpoint
    return load(address, map_location) if _in_force else _safely(load)(address, map_location)
