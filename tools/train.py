"""Train a model: python tools/train.py configs/cdmamba_v8_levircd.py"""
import argparse

import torch
from mmengine.config import Config
from mmengine.runner import Runner

import mamba_cd_plugin  # noqa: F401  registers everything, also for a config that forgot custom_imports
from mamba_cd_plugin.cli.experiment import add_common_arguments, load_config
from mamba_cd_plugin.engine.allocator import keep_freed_memory


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description='Train a change detector')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='go on from this checkpoint, or from the newest of the work dir')
    parser.add_argument('--amp', action='store_true', help='mixed precision (CUDA)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size (base batch 12)')
    return parser.parse_args()


def enable_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper to mixed precision.

    Raises:
        RuntimeError: without a CUDA device, where mmengine's wrapper would fail later with less to read.
    """
    if not torch.cuda.is_available():
        raise RuntimeError('--amp needs a CUDA device and none is visible; leave it out to train in fp32')
    cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')


def main() -> None:
    """Train."""
    args = parse_args()
    keep_freed_memory()
    cfg = load_config(args)
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
