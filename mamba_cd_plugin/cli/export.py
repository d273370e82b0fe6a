"""Write a checkpoint as ONNX or torch.export program: mamba-cd export cdmamba.pth cdmamba.onnx"""
import argparse
from pathlib import Path

from mmengine.config import ConfigDict
from mmengine.logging import print_log

from ..engine.checkpoint import find_checkpoint, trust_checkpoints
from ..export.export import export_onnx, export_program
from ..inference.checkpoints import load_model, read_named_config
from ..inference.models import ALIGN, TorchTileModel

EXPORTERS = {'.onnx': export_onnx, '.pt2': export_program}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', help='file to write; .onnx, or .pt2 for torch.export')
    parser.add_argument('--config', help='config file, for a checkpoint that holds none, or '
                        'whose model has parts of your own, which the file imports')
    parser.add_argument(
        '--size', type=int, help=f'fix the side of the images (default: any multiple of {ALIGN} px)')
    parser.add_argument('--trust-checkpoint', action='store_true', help='run whatever code the checkpoint contains')


def run(args: argparse.Namespace) -> None:
    """Export.

    Raises:
        ValueError: If the file to write, its size or the checkpoint is not as it must be.
    """
    if Path(args.out).suffix not in EXPORTERS:
        raise ValueError(f'{args.out}: expected a file that ends in {" or ".join(EXPORTERS)}')
    if args.size is not None and (args.size < ALIGN or args.size % ALIGN):
        raise ValueError(f'--size {args.size}: expected a multiple of {ALIGN}')
    trust_checkpoints(args.trust_checkpoint)
    checkpoint = find_checkpoint(args.checkpoint)
    cfg = read_named_config(args.config) if args.config else ConfigDict()
    out = Path(args.out)
    model = load_model(cfg, checkpoint)
    if not isinstance(model, TorchTileModel):
        raise ValueError(f'{args.checkpoint}: is exported already; expected a checkpoint (.pth or .safetensors)')
    worst = EXPORTERS[out.suffix](model, out, args.size)
    sizes = f'{args.size} x {args.size} px only' if args.size else f'any height and width in multiples of {ALIGN} px'
    print_log(f'{out}: takes RGB pairs (1, 6, H, W) of values 0..255, {sizes}; it differs from the checkpoint by at '
              f'most {worst:.1e} on three images', logger='current')
