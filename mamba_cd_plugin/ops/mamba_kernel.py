"""The CUDA kernel of the mamba-ssm package as a backend of the selective scan."""
import importlib
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

# The second variable keeps the CUDA kernel in the build; upstream's main branch leaves it out without it, and releases
# that do not know it ignore it.
INSTALL_COMMAND = ('MAMBA_FORCE_BUILD=TRUE MAMBA_KEEP_CUDA_BUILD=TRUE pip install --no-build-isolation '
                   '--no-binary mamba-ssm mamba-ssm')
INSTALL_HINT = ('install a build of mamba-ssm that holds its CUDA kernel: with nvcc on the PATH run '
                f'`{INSTALL_COMMAND}`')


@cache
def load_mamba_kernel() -> tuple[Callable | None, str]:
    """Find mamba-ssm's scan, and check the kernel itself.

    The package can be imported, and `selective_scan_fn` with it, when its CUDA extension was never built; only the
    extension's own functions tell.

    Returns:
        The function and '', or None and the reason why it cannot be used.
    """
    try:
        kernel = importlib.import_module('selective_scan_cuda')
    except (ImportError, OSError) as error:  # OSError: built for another torch or CUDA
        return None, f'the extension selective_scan_cuda does not load ({error}); {INSTALL_HINT}'
    missing = [name for name in ('fwd', 'bwd') if not callable(getattr(kernel, name, None))]
    if missing:
        return None, f'selective_scan_cuda has no function {" and ".join(missing)}; {INSTALL_HINT}'
    try:
        interface = importlib.import_module('mamba_ssm.ops.selective_scan_interface')
    except (ImportError, OSError) as error:
        return None, f'mamba_ssm.ops.selective_scan_interface does not load ({error}); {INSTALL_HINT}'
    function = getattr(interface, 'selective_scan_fn', None)
    # The interface itself imports the extension in a try block and keeps None in its place.
    if not callable(function) or getattr(interface, 'selective_scan_cuda', kernel) is None:
        return None, f'mamba_ssm was installed without its CUDA kernel; {INSTALL_HINT}'
    return function, ''


def probe_mamba_kernel() -> tuple[bool, str]:
    """Whether the kernel can be used on this machine, and if not, why."""
    if not torch.cuda.is_available():
        return False, 'torch sees no CUDA device'
    function, reason = load_mamba_kernel()
    return function is not None, reason


def mamba_selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                         delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """`selective_scan` by mamba-ssm's CUDA kernel, which wants float32 and contiguous tensors.

    Raises:
        RuntimeError: If the kernel is not there.
    """
    function, reason = load_mamba_kernel()
    if function is None:
        raise RuntimeError(f"scan backend 'mamba_ssm' is not available: {reason}")
    tensors = [x if x is None else x.float().contiguous() for x in (u, delta, A, B, C, D, delta_bias)]
    gate = None  # the kernel's own z, which the cross scan does not use
    with torch.autocast(u.device.type, enabled=False):
        return function(*tensors[:6], gate, tensors[6], delta_softplus).to(u.dtype)
