"""What tools/train.py and tools/test.py share: command line, config, work dir."""
import argparse
import difflib
import os
from pathlib import Path
from typing import Any, Dict

from mmengine.config import Config, DictAction

# Keys that mmengine's Runner reads and a config need not have.
RUNNER_KEYS = {
    'auto_scale_lr', 'custom_hooks', 'env_cfg', 'experiment_name', 'launcher', 'load_from', 'log_level',
    'log_processor', 'param_scheduler', 'randomness', 'resume', 'visualizer', 'work_dir'
}


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share, with mmseg's names."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default work_dirs/<name of the config>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override, key=value with dotted keys, such as train_dataloader.batch_size=4')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torch.distributed.launch passes it in this spelling.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the command line into it.

    Raises:
        FileNotFoundError: if the config file does not exist.
        KeyError: if an option names a key that neither the config nor mmengine's Runner has.
    """
    if not Path(args.config).is_file():
        raise FileNotFoundError(f'config {args.config} does not exist; those of this project are under configs/')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    merge_options(cfg, args.cfg_options or {})
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    return cfg


def merge_options(cfg: Config, options: Dict[str, Any]) -> None:
    """Override settings of a config in place.

    Args:
        cfg: the config.
        options: values by dotted keys.

    Raises:
        KeyError: if an option names a key that neither the config nor mmengine's Runner has.
    """
    for key in options:
        check_option(cfg, key)
    cfg.merge_from_dict(options)


def check_option(cfg: Config, key: str) -> None:
    """Refuse an override whose parent does not exist, which mmengine would merge silently and then never read.

    Args:
        cfg: the config before the override.
        key: dotted key, such as ``model.decode_head.threshold``. Its last part may be new: many optional arguments are
            not written out in a config, and a part refuses one it does not know.

    Raises:
        KeyError: naming the unknown part and the most similar keys there are.
    """
    *parents, last = key.split('.')
    if not parents and last in RUNNER_KEYS:
        return
    node = cfg
    for depth, part in enumerate(parents or [last]):
        known = list(map(str, range(len(node)))) if isinstance(node, (list, tuple)) else list(node.keys())
        if part not in known:
            similar = difflib.get_close_matches(part, known, n=3) or known
            where = '.'.join(parents[:depth]) or 'the config'
            raise KeyError(f'--cfg-options {key}: {where} has no key {part!r}; similar or existing keys: '
                           f'{", ".join(similar)}')
        node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
        if not hasattr(node, 'keys') and not isinstance(node, (list, tuple)):
            break  # the option replaces a plain value by something nested
