"""Which implementations of the selective scan this machine has, and the choice among them."""
import warnings
from functools import cache
from typing import Callable, Union

import torch
from torch import Tensor

from .cpu_kernel import probe_cpu_kernel
from .mamba_kernel import probe_mamba_kernel

Device = Union[torch.device, str, None]

# Name -> probe, which gives (usable, reason why not). Order of preference where 'auto' has a choice.
PROBES: dict[str, Callable[[], tuple[bool, str]]] = {
    'mamba_ssm': probe_mamba_kernel,
    'c': probe_cpu_kernel,
    'torch': lambda: (True, ''),
    'ref': lambda: (True, ''),
}
# Backends that run on one kind of device only; the others run on all.
DEVICES = {'mamba_ssm': 'cuda', 'c': 'cpu'}


def available_backends() -> dict[str, tuple[bool, str]]:
    """Every backend by name, with (whether it can be used here, the reason if not)."""
    return {name: probe() for name, probe in PROBES.items()}


@torch.compiler.assume_constant_result
def resolve_backend(name: str = 'auto', device: Device = None) -> str:
    """Turn the name of a backend into one that can run, or fail at once.

    Call it without a device when a module is built: a wrong or unavailable name fails there, and 'auto' stays 'auto',
    since the module may still move. With a device, 'auto' becomes the fastest backend for it: mamba-ssm's kernel on
    CUDA, the compiled C kernel on a CPU, plain torch otherwise.

    Args:
        name: 'auto', 'mamba_ssm', 'c', 'torch' or 'ref'.
        device: Device of the tensors, if it is known.

    Raises:
        ValueError: If there is no such backend, or it does not run on this device.
        RuntimeError: If the backend is not available on this machine; the message says what to install.
    """
    if name == 'auto':
        return 'auto' if device is None else _automatic(torch.device(device).type)
    if name not in PROBES:
        raise ValueError(f'unknown scan backend {name!r}; choose one of {["auto", *PROBES]}')
    usable, reason = PROBES[name]()
    if not usable:
        raise RuntimeError(f'scan backend {name!r} is not available: {reason}')
    _check_device(name, device)
    return name


def _check_device(name: str, device: Device) -> None:
    kind = DEVICES.get(name)
    if device is not None and kind is not None and torch.device(device).type != kind:
        raise ValueError(f"scan backend {name!r} runs on {kind} tensors only, got {device}; use backend='auto'")


@cache
def _report_fallback(name: str, reason: str) -> None:
    """Say once per process that the fast backend is missing."""
    warnings.warn(f'The fast scan backend {name!r} is not available, the slower plain torch scan takes over: {reason}',
                  RuntimeWarning, stacklevel=2)


def _automatic(kind: str) -> str:
    for name, wanted in DEVICES.items():
        if wanted == kind:
            usable, reason = PROBES[name]()
            if usable:
                return name
            _report_fallback(name, reason)
    return 'torch'


def backend_for(name: str, x: Tensor) -> str:
    """The backend that runs on x: `resolve_backend`, and what depends on the tensor and the moment.

    A float64 tensor takes plain torch under 'auto', since the fast kernels compute in float32. While a model is
    exported to ONNX every backend gives way to plain torch, since ONNX has standard ops only.
    """
    if torch.onnx.is_in_onnx_export() or (name == 'auto' and x.dtype == torch.float64):
        return 'torch'
    name = resolve_backend(name, x.device)
    if name in DEVICES and x.dtype == torch.float64:
        raise ValueError(f"scan backend {name!r} computes in float32, got a float64 tensor; use backend='torch'")
    return name
