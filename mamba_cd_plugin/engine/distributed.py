"""Training and testing with several processes where there is no GPU."""
from datetime import timedelta

import torch
from mmengine.config import Config
from torch import distributed

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
    if not distributed.is_initialized():
        distributed.init_process_group('gloo', timeout=TIMEOUT)
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False))
