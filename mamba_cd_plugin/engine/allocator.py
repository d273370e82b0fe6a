"""Setting of the C library: keep freed memory instead of returning it to the system."""
import ctypes
import os
import sys

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# Somebody who sets one of these has decided for himself.
_SETTINGS = ('MALLOC_MMAP_MAX_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensor instead of giving it back to the system each time.

    Tensors of more than 32 MiB otherwise come as fresh pages from the kernel, which are mapped and zeroed one by one at
    every use: about half of the time of V8 on a pair of 1024 px. The process holds its peak memory until it ends, so
    this is for programs, and no module calls it when it is imported.

    Returns:
        Whether it was done; not where the C library is another one, or its settings are in the environment.
    """
    if sys.platform != 'linux' or any(name in os.environ for name in _SETTINGS):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, 'gnu_get_libc_version'):
        return False
    return bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, -1))
