"""Publish a checkpoint as one file: python tools/misc/publish_model.py work_dirs/x/best_changed_F1.pth cdmamba.pth"""
import argparse
from pathlib import Path

from mmengine.config import DictAction
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

import mamba_cd_plugin  # noqa: F401  registers everything
from mamba_cd_plugin.engine.checkpoint import trust_checkpoints
from mamba_cd_plugin.export.publish import publish
from mamba_cd_plugin.inference.models import read_config


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description='Put weights, config, metrics and classes into one file')
    parser.add_argument('checkpoint', help='training checkpoint')
    parser.add_argument('out', help='file to write; the hash of its content is put before the ending')
    parser.add_argument('--config', help='config file, only for a checkpoint that holds none')
    parser.add_argument(
        '--metrics', nargs='+', action=DictAction, help='scores to write into it, such as test_changed_F1=0.9012')
    parser.add_argument('--trust-checkpoint', action='store_true', help='run whatever code the checkpoint contains')
    return parser.parse_args()


def main() -> None:
    """Publish."""
    args = parse_args()
    trust_checkpoints(args.trust_checkpoint)
    init_default_scope('mmseg')
    cfg = read_config(args.config) if args.config else None
    path = publish(args.checkpoint, Path(args.out), cfg, args.metrics)
    print_log(f'{path}: {path.stat().st_size / 1e6:.1f} MB, all that tools/predict.py needs', logger='current')


if __name__ == '__main__':
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
