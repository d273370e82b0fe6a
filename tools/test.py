"""Test a checkpoint: python tools/test.py configs/cdmamba_v8_levircd.py work_dirs/.../best_changed_F1.pth"""
import argparse

from mmengine.config import Config
from mmengine.runner import Runner

import mamba_cd_plugin  # noqa: F401  registers everything, also for a config that forgot custom_imports
from mamba_cd_plugin.cli.experiment import add_common_arguments, load_config
from mamba_cd_plugin.engine.allocator import keep_freed_memory

# How ProtocolTestLoop names what was tested, in words.
PROTOCOLS = {'whole': 'whole images', 'tiles256': '256 x 256 tiles'}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description='Test a change detector')
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--show-dir', help='draw A | B | truth | prediction | errors of every pair into this folder')
    parser.add_argument('--out', help='write the predicted masks (0/255 PNG) into this folder')
    parser.add_argument('--tta', action='store_true', help='average over flips')
    return parser.parse_args()


def enable_tta(cfg: Config) -> None:
    """Wrap the model for test-time augmentation and swap the pipeline for the one that makes the views."""
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def main() -> None:
    """Test."""
    args = parse_args()
    keep_freed_memory()
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.show_dir:
        cfg.default_hooks.visualization.update(draw=True, show_dir=args.show_dir)
    if args.out:
        cfg.test_evaluator.output_dir = args.out
    if args.tta:
        enable_tta(cfg)
    metrics = Runner.from_cfg(cfg).test()
    for key, value in metrics.items():
        if key.endswith('/changed_F1'):
            protocol = key.split('/')[0]
            print(f'changed-class F1 on {PROTOCOLS.get(protocol, protocol)}: {100 * value:.2f} %')
    if args.show_dir:
        print(f'pictures: {args.show_dir}')


if __name__ == '__main__':
    main()
