"""Write a data set of generated scenes in LEVIR layout: mamba-cd synthetic data/synthetic"""
import argparse
import os

from ..synthetic import NUISANCES, write_dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('out', help='folder to write: train, val and test, each with A, B and label')
    parser.add_argument('--pairs', type=int, metavar='N',
                        help='pairs in all: 80 %% train, 8 %% val, 12 %% test; replaces the three numbers below')
    parser.add_argument('--num-train', type=int, default=400, help='pairs to train on')
    parser.add_argument('--num-val', type=int, default=40, help='pairs to select the checkpoint with')
    parser.add_argument('--num-test', type=int, default=60, help='pairs to score')
    parser.add_argument('--size', type=int, nargs='+', default=[256], metavar='PX', help='one, or height and width')
    parser.add_argument('--seed', type=int, default=0, help='the same seed gives the same files')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes; the files do not depend on it')
    parser.add_argument('--easy', action='store_true',
                        help='both dates alike in season and light, registered to a pixel, most with change')
    parser.add_argument('--without', nargs='+', default=[], choices=NUISANCES, metavar='NUISANCE',
                        help=f'what shall not differ between the dates beside buildings: {", ".join(NUISANCES)}')
    parser.add_argument('--quiet-share', type=float, metavar='SHARE',
                        help='share of scenes in which no building may change (default: 0.45; easy scenes: 0.05)')
    parser.add_argument('--overwrite', action='store_true', help='replace scenes made with other parameters')


def run(args: argparse.Namespace) -> None:
    """Write the scenes.

    Raises:
        ValueError: If an argument is not as it must be.
        FileExistsError: If the folder holds other scenes.
    """
    if len(args.size) > 2:
        raise ValueError(f'--size takes one number or two (height, width), not {len(args.size)}')
    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    counts = args.num_train, args.num_val, args.num_test
    if args.pairs is not None:
        val, test = round(0.08 * args.pairs), round(0.12 * args.pairs)
        counts = args.pairs - val - test, val, test
    nuisances = [name for name in NUISANCES if name not in args.without]
    write_dataset(args.out, *counts, size, args.seed, args.workers, args.overwrite, args.easy, nuisances,
                  args.quiet_share)
