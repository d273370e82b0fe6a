"""Export a checkpoint: python tools/export.py cdmamba.pth cdmamba.onnx"""
import argparse
from pathlib import Path

from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

import mamba_cd_plugin  # noqa: F401  registers everything
from mamba_cd_plugin.engine.checkpoint import trust_checkpoints
from mamba_cd_plugin.export.export import export_onnx, export_program
from mamba_cd_plugin.inference.models import ALIGN, load_model, read_config

EXPORTERS = {'.onnx': export_onnx, '.pt2': export_program}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description='Export a checkpoint to ONNX or torch.export')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', help='file to write; .onnx, or .pt2 for torch.export')
    parser.add_argument('--config', help='config file, only for a checkpoint that holds none')
    parser.add_argument(
        '--size', type=int, help=f'export for images of this side only; by default for all multiples of {ALIGN} px')
    parser.add_argument('--trust-checkpoint', action='store_true', help='run whatever code the checkpoint contains')
    args = parser.parse_args()
    if Path(args.out).suffix not in EXPORTERS:
        parser.error(f'{args.out}: expected a file that ends in {" or ".join(EXPORTERS)}')
    if args.size is not None and (args.size < ALIGN or args.size % ALIGN):
        parser.error(f'--size {args.size}: expected a multiple of {ALIGN}')
    return args


def main() -> None:
    """Export."""
    args = parse_args()
    trust_checkpoints(args.trust_checkpoint)
    init_default_scope('mmseg')
    cfg = read_config(args.config) if args.config else ConfigDict()
    out = Path(args.out)
    worst = EXPORTERS[out.suffix](load_model(cfg, args.checkpoint), out, args.size)
    sizes = f'{args.size} x {args.size} px only' if args.size else f'any height and width in multiples of {ALIGN} px'
    print_log(f'{out}: takes RGB pairs (1, 6, H, W) of values 0..255, {sizes}; it differs from the checkpoint by at '
              f'most {worst:.1e} on three images', logger='current')


if __name__ == '__main__':
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
