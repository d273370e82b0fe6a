"""Mixed precision, compilation, accumulation, joint BatchNorm: what the command line sets in the config of a run."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn

AMP_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}
# Processors that multiply bfloat16 in hardware; on others it is emulated, and slower than float32.
CPU_FLAGS = {'avx512_bf16', 'amx_bf16', 'bf16'}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """An optimizer whose model runs under autocast, without a loss scale: for bfloat16, on CUDA and CPUs.

    mmengine's AmpOptimWrapper refuses CPUs, and its loss scale, which bfloat16 with float32's range does not need, has
    to wait for the device in every step.

    Args:
        dtype: name of a dtype of torch.
        **kwargs: see mmengine's OptimWrapper.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dtype = getattr(torch, dtype)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no exchange of gradients while they accumulate."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, self.dtype):
            yield


def cpu_flags() -> set[str]:
    """Features of the processor from /proc/cpuinfo; empty if there is no such file."""
    path = Path('/proc/cpuinfo')
    lines = path.read_text().splitlines() if path.is_file() else []
    return {flag for line in lines if line.startswith(('flags', 'Features')) for flag in line.split()}


def choose_amp(name: str) -> str:
    """The precision for this machine: bf16 or fp16, or for 'auto' bf16 where the GPU or the CPU has it.

    Raises:
        ValueError: If neither is there, or fp16 is asked for on a CPU.
    """
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        if name == 'bf16' and not has_bf16:
            raise ValueError(f'--amp bf16: {torch.cuda.get_device_name()} has no bfloat16; use --amp fp16')
        return ('bf16' if has_bf16 else 'fp16') if name == 'auto' else name
    if name == 'fp16':
        raise ValueError('--amp fp16 needs a CUDA device and none is visible; use --amp bf16, or leave it out')
    if name == 'auto' and not cpu_flags() & CPU_FLAGS:
        raise ValueError('--amp: no CUDA device is visible, and this processor has no bfloat16 arithmetic, so that '
                         'float32 is faster; leave it out, or try it with --amp bf16')
    return 'bf16'


def enable_training_amp(cfg: Config, name: str) -> None:
    """Switch the optimizer wrapper to mixed precision; validation stays in float32.

    Raises:
        ValueError: If this machine does not have that precision.
    """
    if choose_amp(name) == 'bf16':
        cfg.optim_wrapper.update(type='AutocastOptimWrapper', dtype='bfloat16')
    else:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')


def enable_test_amp(cfg: Config, name: str) -> None:
    """Run the tested model in mixed precision.

    mmengine's loops know a switch only; the precision is that of torch's autocast, in this process.

    Raises:
        ValueError: If this machine does not have that precision.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_autocast_dtype(device, AMP_DTYPES[choose_amp(name)])
    cfg.test_cfg.fp16 = True


def accumulate_gradients(cfg: Config, steps: int) -> None:
    """Make one optimizer step of several batches; `--auto-scale-lr` counts all of them.

    Raises:
        ValueError: If it is not a positive number.
    """
    if steps < 1:
        raise ValueError(f'--accumulate {steps}: expected the number of batches that make one step, at least 1')
    cfg.optim_wrapper.accumulative_counts = steps
    if (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        cfg.auto_scale_lr.base_batch_size = cfg.auto_scale_lr.base_batch_size / steps


def scale_learning_rate(cfg: Config) -> None:
    """Let mmengine scale the learning rate with the batch size.

    Raises:
        ValueError: If the config does not say which batch size its rate is for.
    """
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise ValueError('--auto-scale-lr: the config does not say which batch size its learning rate is for; add '
                         'auto_scale_lr = dict(base_batch_size=N)')
    cfg.auto_scale_lr.enable = True


def synchronise_batch_norm(cfg: Config) -> None:
    """Let BatchNorm take mean and variance over the batches of all processes.

    Raises:
        ValueError: If there is one process only, or no GPU.
    """
    if cfg.get('launcher', 'none') == 'none':
        raise ValueError('--sync-bn: BatchNorm is joined over several processes, and this is one; start them by '
                         'tools/dist_train.sh or tools/slurm_train.sh, or leave it out')
    if not torch.cuda.is_available():
        raise ValueError("--sync-bn: torch's SyncBatchNorm trains on GPUs only, and none is visible; leave it out")
    cfg.sync_bn = 'torch'


def compile_parts(model: nn.Module, backend: str | None = None) -> None:
    """Let torch.compile translate encoder and neck at their first call; the head's losses sort and stay as they are."""
    model = getattr(model, 'module', model)
    for name in ('backbone', 'neck'):
        model.get_submodule(name).compile(**({} if backend is None else {'backend': backend}))
