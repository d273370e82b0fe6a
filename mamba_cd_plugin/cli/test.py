"""Score a checkpoint on a test set: mamba-cd test cdmamba_v8_levircd work_dirs/.../best_changed_F1.pth"""
import argparse

from mmengine.config import Config

from ..engine.checkpoint import require_checkpoint
from ..engine.precision import AMP_DTYPES, enable_test_amp
from ..engine.workers import end_workers
from .experiment import RUN_ERRORS, add_common_arguments, build_runner, load_config
from .main import one_line

ERRORS = RUN_ERRORS
# How ProtocolTestLoop names what was tested, in words.
PROTOCOLS = {'whole': 'whole images', 'tiles256': '256 x 256 tiles'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file, or the name of weights of the package')
    parser.add_argument('--show-dir', help='draw A | B | truth | prediction | errors of every pair into this folder')
    parser.add_argument('--out', help='write the predicted masks (0/255 PNG) into this folder')
    parser.add_argument('--amp', nargs='?', const='auto', choices=['auto', *AMP_DTYPES], help='mixed precision; scores '
                        'then differ a little from those in float32')
    parser.add_argument('--tta', action='store_true', help='average over flips')


def enable_tta(cfg: Config) -> None:
    """Wrap the model for test-time augmentation and swap the pipeline for the one that makes the views."""
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def run(args: argparse.Namespace) -> None:
    """Test."""
    with one_line((OSError, ValueError, KeyError)):
        cfg = load_config(args)
        checkpoint = require_checkpoint(args.checkpoint)
        if args.amp:
            enable_test_amp(cfg, args.amp)
    cfg.load_from = checkpoint
    if args.show_dir:
        cfg.default_hooks.visualization.update(draw=True, show_dir=args.show_dir)
    if args.out:
        cfg.test_evaluator.output_dir = args.out
    if args.tta:
        enable_tta(cfg)
    try:
        metrics = build_runner(cfg).test()
    finally:
        end_workers()
    for key, value in metrics.items():
        if key.endswith('/changed_F1'):
            protocol = key.split('/')[0]
            print(f'changed-class F1 on {PROTOCOLS.get(protocol, protocol)}: {100 * value:.2f} %')
    if args.show_dir:
        print(f'pictures: {args.show_dir}')
