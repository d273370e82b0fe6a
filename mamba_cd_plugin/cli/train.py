"""Train a model: mamba-cd train cdmamba_v8_levircd

The run's folder gets the log, the checkpoints (best_changed_F1.pth), TensorBoard files and curves.png.
"""
import argparse

import torch
from mmengine.config import Config

from ..engine.recovery import choose_start
from ..engine.workers import end_workers
from .experiment import RUN_ERRORS, add_common_arguments, build_runner, load_config
from .main import one_line

ERRORS = RUN_ERRORS
STOPPED = 'stopped; the same command with --resume goes on from the newest checkpoint of the work dir'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_common_arguments(parser)
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='resume from this checkpoint, or from the newest of the work dir')
    parser.add_argument('--amp', action='store_true', help='mixed precision (CUDA)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size (base batch 12)')


def enable_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper to mixed precision.

    Raises:
        ValueError: Without a CUDA device, where mmengine's wrapper would fail later with less to read.
    """
    if not torch.cuda.is_available():
        raise ValueError('--amp needs a CUDA device and none is visible; leave it out to train in fp32')
    cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')


def run(args: argparse.Namespace) -> None:
    """Train."""
    with one_line((OSError, ValueError, KeyError)):
        cfg = load_config(args)
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    choose_start(cfg, args.resume)
    try:
        build_runner(cfg).train()
    finally:
        end_workers()
