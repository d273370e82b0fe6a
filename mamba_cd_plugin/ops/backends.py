"""Which implementations of the selective scan this machine has, and the choice among them."""
import warnings
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from .blocked_scan import blocked_selective_scan
from .cpu_kernel import probe_cpu_kernel
from .cpu_ops import cpu_cross_selective_scan, cpu_selective_scan
from .mamba_kernel import mamba_selective_scan, probe_mamba_kernel
from .selective_scan_ref import selective_scan_ref
from .triton_ops import interpreted, probe_triton, triton_cross_selective_scan, triton_selective_scan

Device = torch.device | str | None
Status = tuple[bool, str]


class Backend(NamedTuple):
    """One implementation of the scan.

    Attributes:
        title: short description.
        scan: takes all arguments of `selective_scan_ref`, by position; their shapes are checked before.
        cross_scan: the fused scan of an image, with the arguments of `cross_selective_scan`; without it `scan` is put
            together with the four directions.
        probe: (whether it can be used on this machine, and the reason if not).
        devices: kinds of device that it runs on; all, if None.
        automatic: kinds of device on which 'auto' may take it; among several the first in BACKENDS is taken.
        float64: whether it computes in float64 where the tensors are; the others are float32 inside.
    """
    title: str
    scan: Callable[..., Tensor]
    cross_scan: Callable[..., Tensor] | None = None
    probe: Callable[[], Status] = lambda: (True, '')
    devices: Callable[[], tuple[str, ...]] | None = None
    automatic: tuple[str, ...] = ()
    float64: bool = True


# The one list of backends: a new one is a new record here. On its devices 'auto' takes the first that can be used.
BACKENDS = {
    'triton': Backend('Triton kernels', triton_selective_scan, triton_cross_selective_scan, probe_triton,
                      lambda: ('cuda', 'cpu') if interpreted() else ('cuda', ), ('cuda', ), False),
    'mamba_ssm': Backend("mamba-ssm's CUDA kernel", mamba_selective_scan, None, probe_mamba_kernel,
                         lambda: ('cuda', ), ('cuda', ), False),
    'c': Backend('compiled C kernel', cpu_selective_scan, cpu_cross_selective_scan, probe_cpu_kernel,
                 lambda: ('cpu', ), ('cpu', ), False),
    'torch': Backend('plain torch', blocked_selective_scan),
    'ref': Backend('plain loop', selective_scan_ref),
}
FALLBACK = 'torch'


def available_backends() -> dict[str, Status]:
    """Every backend by name, with (whether it can be used here, the reason if not)."""
    return {name: backend.probe() for name, backend in BACKENDS.items()}


@torch.compiler.assume_constant_result
def resolve_backend(name: str = 'auto', device: Device = None) -> str:
    """Turn the name of a backend into one that can run, or fail at once.

    Call it without a device when a module is built: a wrong or unavailable name fails there, and 'auto' stays 'auto',
    since the module may still move. With a device, 'auto' becomes the first in `BACKENDS` that it may take there:
    Triton on CUDA, else mamba-ssm's kernel; the compiled C kernel on a CPU; plain torch otherwise.

    Args:
        name: 'auto' or a name in `BACKENDS`.
        device: Device of the tensors, if it is known.

    Raises:
        ValueError: If there is no such backend, or it does not run on this device.
        RuntimeError: If the backend is not available on this machine; the message says what to install.
    """
    if name == 'auto':
        return 'auto' if device is None else _automatic(torch.device(device).type)
    if name not in BACKENDS:
        raise ValueError(f'unknown scan backend {name!r}; choose one of {["auto", *BACKENDS]}')
    usable, reason = BACKENDS[name].probe()
    if not usable:
        raise RuntimeError(f'scan backend {name!r} is not available: {reason}')
    _check_device(name, device)
    return name


def _check_device(name: str, device: Device) -> None:
    devices = BACKENDS[name].devices
    if device is not None and devices is not None and torch.device(device).type not in devices():
        raise ValueError(f"scan backend {name!r} runs on {' and '.join(devices())} tensors only, got {device}; use "
                         "backend='auto'")


@cache
def _report_fallback(reasons: str) -> None:
    """Say once per process that the fast backends are missing."""
    warnings.warn(f'No fast scan backend is available, the slower plain torch scan takes over. {reasons}',
                  RuntimeWarning, stacklevel=2)


def _automatic(kind: str) -> str:
    reasons = []
    for name, backend in BACKENDS.items():
        if kind in backend.automatic:
            usable, reason = backend.probe()
            if usable:
                return name
            reasons.append(f'{name}: {reason}')
    if reasons:
        _report_fallback('. '.join(reasons))
    return FALLBACK


def backend_for(name: str, x: Tensor) -> str:
    """The backend that runs on x: `resolve_backend`, and what depends on the tensor and the moment.

    A float64 tensor takes plain torch under 'auto', since the fast kernels compute in float32. While a model is
    exported to ONNX every backend gives way to plain torch, since ONNX has standard ops only.
    """
    if torch.onnx.is_in_onnx_export() or (name == 'auto' and x.dtype == torch.float64):
        return FALLBACK
    name = resolve_backend(name, x.device)
    if not BACKENDS[name].float64 and x.dtype == torch.float64:
        raise ValueError(f"scan backend {name!r} computes in float32, got a float64 tensor; use backend='torch'")
    return name
