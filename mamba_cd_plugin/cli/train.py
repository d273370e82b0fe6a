"""Train a model: mamba-cd train cdmamba_v8_levircd

The run's folder gets the log, the checkpoints (best_changed_F1.pth), TensorBoard files and curves.png.
"""
import argparse

from ..engine.checkpoint import require_checkpoint
from ..engine.hooks.time_budget_hook import set_time_budget
from ..engine.precision import (
    AMP_DTYPES,
    accumulate_gradients,
    compile_parts,
    enable_training_amp,
    scale_learning_rate,
    synchronise_batch_norm,
)
from ..engine.recovery import choose_start
from ..engine.workers import end_workers
from .experiment import RUN_ERRORS, add_common_arguments, build_runner, load_config
from .main import one_line

ERRORS = RUN_ERRORS
STOPPED = 'stopped; run the same command with --resume to continue from the newest checkpoint in the work dir'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_common_arguments(parser)
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='resume from this checkpoint, or from the newest in the work dir')
    parser.add_argument(
        '--amp', nargs='?', const='auto', choices=['auto', *AMP_DTYPES], help='mixed precision; by default bf16 where '
        'the GPU, or without one the CPU, has it, else fp16')
    parser.add_argument(
        '--minutes', type=float, metavar='M', help="train for so long by the clock, not for the config's epochs, its "
        'schedule fitted to the time; loading before it, the last validation and the last checkpoint come on top')
    parser.add_argument('--accumulate', type=int, default=1, metavar='N',
                        help='number of batches per optimizer step; BatchNorm still sees one batch at a time')
    parser.add_argument('--sync-bn', action='store_true', help='synchronise BatchNorm over several GPUs')
    parser.add_argument('--compile', action='store_true', help='torch.compile the encoder and the neck')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size, from '
        'the one that the config says it is for (auto_scale_lr.base_batch_size)')


def run(args: argparse.Namespace) -> None:
    """Train."""
    with one_line((OSError, ValueError, KeyError)):
        cfg = load_config(args)
        if args.amp:
            enable_training_amp(cfg, args.amp)
        if args.accumulate != 1:
            accumulate_gradients(cfg, args.accumulate)
        if args.minutes is not None:
            set_time_budget(cfg, args.minutes)
        if args.sync_bn:
            synchronise_batch_norm(cfg)
        if args.auto_scale_lr:
            scale_learning_rate(cfg)
    choose_start(cfg, args.resume)
    if cfg.get('load_from') and not cfg.resume:
        cfg.load_from = require_checkpoint(cfg.load_from)
    try:
        runner = build_runner(cfg)
        if args.compile:
            compile_parts(runner.model)
        runner.train()
    finally:
        end_workers()
