"""Write a generated town as two GeoTIFFs to try prediction on, B in another CRS than A: mamba-cd sample data/town"""
import argparse
from pathlib import Path

from mmengine.logging import print_log

from ..synthetic.sample_rasters import write_sample_pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('out', help='folder to write')
    parser.add_argument('--size', type=int, nargs=2, default=(1200, 1600), metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--seed', type=int, default=2024, help='the same seed gives the same town')


def run(args: argparse.Namespace) -> None:
    """Write the pair."""
    pair = write_sample_pair(Path(args.out), tuple(args.size), args.seed)
    print_log(f'wrote {", ".join(map(str, pair))}', logger='current')
