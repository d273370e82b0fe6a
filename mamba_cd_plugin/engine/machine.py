"""What a program may use of its machine: the device that a user names, CPU processes, freed memory."""
import ctypes
import os
import sys
from collections.abc import Collection
from datetime import timedelta

import torch
from mmengine.config import Config


def check_device(name: str) -> str:
    """Return the name of a device if it exists.

    Args:
        name: Name as in torch: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        ValueError: If torch knows no such device, or this machine has none.
    """
    there = ['cpu', *(f'cuda:{index}' for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append('mps')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'--device {name}: torch knows no such device; this machine has {", ".join(there)}') from error
    if str(device) not in there and not (device.index is None and any(each.startswith(device.type) for each in there)):
        built = '' if device.type != 'cuda' or torch.version.cuda else \
            f', and torch {torch.__version__} is built without CUDA: install a CUDA build of it to use a GPU'
        raise ValueError(f'--device {name}: there is no such device; this machine has {", ".join(there)}{built}')
    return str(device)


# How long a process waits for the others. A longer validation of one process would be taken for its death; torch's own
# half hour is what a job would hang where no launcher watches it.
TIMEOUT = timedelta(minutes=10)


def prepare_cpu_processes(cfg: Config) -> None:
    """Let a config run under a launcher on a machine without CUDA, where mmengine would ask for one GPU per process.

    mmengine takes over a process group that exists already, and the wrapper that a config names.

    Args:
        cfg: The config, changed in place.

    Raises:
        ValueError: For a launcher other than 'pytorch'.
    """
    if cfg.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(f'--launcher {cfg.launcher} needs CUDA devices, and none is visible; on CPUs only '
                         "'pytorch' is supported: tools/dist_train.sh CONFIG PROCESSES")
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo', timeout=TIMEOUT)
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False))


# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# Somebody who sets one of these has decided for himself.
_SETTINGS = ('MALLOC_MMAP_MAX_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES')


def keep_freed_memory(disregard: Collection[str] = ()) -> bool:
    """Let glibc keep freed memory for the next tensor instead of giving it back to the system each time.

    Tensors of more than 32 MiB otherwise come as fresh pages from the kernel, which are mapped and zeroed one by one at
    every use: about half of the time of V8 on a pair of 1024 px. The process holds its peak memory until it ends, so
    this is for programs, and no module calls it when it is imported.

    Args:
        disregard: Settings in the environment that do not count, since no user has made them.

    Returns:
        Whether it was done; not where the C library is another one, or its settings are in the environment.
    """
    if sys.platform != 'linux' or any(name in os.environ for name in _SETTINGS if name not in disregard):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, 'gnu_get_libc_version'):
        return False
    return bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, -1))
