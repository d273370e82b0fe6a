"""What the commands that read a config share: its arguments, reading it, and the runner made of it."""
import argparse
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from ..engine.config_options import OptionsAction, merge_options
from ..engine.hooks import (
    CollapsedPredictionError,
    LoadedWeightsHook,
    NonFiniteLossError,
    ResumeHook,
    SharedBuffersHook,
)
from ..engine.machine import prepare_cpu_processes
from ..resources import find_config

CONFIG_HELP = 'config: its file, or its name alone (mamba-cd configs lists them)'
OPTIONS_HELP = 'settings to override, key=value with dotted keys, such as train_dataloader.batch_size=4'
# What ends a training or a test with one line, which names what to do; anything else is a fault of ours, and a report
# of it needs the traceback.
RUN_ERRORS = (ValueError, OSError, ImportError, CollapsedPredictionError, NonFiniteLossError)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a config and the settings to override in it."""
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, default={}, help=OPTIONS_HELP)


def read_config(args: argparse.Namespace) -> Config:
    """The config that was named, with the settings of the command line in it.

    Raises:
        FileNotFoundError: If there is no such config.
        KeyError: If an option names a key that neither the config nor mmengine's Runner has.
    """
    cfg = Config.fromfile(find_config(args.config))
    merge_options(cfg, args.cfg_options or {})
    return cfg


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share, with mmseg's names."""
    add_config_arguments(parser)
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default work_dirs/<name of the config>')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torch.distributed.launch passes it in this spelling.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of a run and merge the command line into it.

    Raises:
        FileNotFoundError: If there is no such config.
        KeyError: If an option names a key that neither the config nor mmengine's Runner has.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, with the checks of what it loads and validates, also where its own hooks lack them."""
    prepare_cpu_processes(cfg)
    runner = Runner.from_cfg(cfg)
    for kind in (LoadedWeightsHook, ResumeHook, SharedBuffersHook):
        if not any(isinstance(hook, kind) for hook in runner.hooks):
            runner.register_hook(kind())
    return runner
