"""Give damaged and hostile files to everything that reads some: mamba-cd check-inputs

Half of the files are valid ones with damaged bytes, half are drawn by hypothesis from what their format is made of.
Each is to be read, or refused by its name, in a process with little time and memory. Those where something else happens
are kept in OUT/wrong.
"""
import argparse
from pathlib import Path

import torch
from mmengine.logging import print_log

from ..analysis.fuzz.campaign import make_seeds, run_kind
from ..analysis.fuzz.kinds import KINDS, Bench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('--count', type=int, default=10_000, help='files of each kind (default 10000)')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=list(KINDS), help='which kinds; all by default')
    parser.add_argument('--seed', type=int, default=0, help='of all that is drawn (default 0)')
    parser.add_argument('--minutes', type=float, default=30, help='for each kind at most (default 30)')
    parser.add_argument('--nice', type=int, default=0, help='lower the priority of the reading processes by this')
    parser.add_argument('--out', default='work_dirs/check_inputs', help='folder for the files')


def run(args: argparse.Namespace) -> int:
    """Check; the exit status is 1 where something went wrong."""
    torch.set_num_threads(1)
    out = Path(args.out).resolve()
    if not (out / 'seeds').exists():
        make_seeds(out)
    status, bench = 0, Bench(out)
    for kind in args.kinds:
        outcome = run_kind(bench, kind, args.count, args.seed, 60 * args.minutes, args.nice)
        status |= bool(outcome.wrong)
        print_log(f'{kind}: {outcome.count} files, {outcome.read} read, {outcome.refused} refused; at most '
                  f'{outcome.slowest:.2f} s and {outcome.peak >> 20} MiB; wrong: {outcome.wrong.total()}',
                  logger='current')
        for what, times in outcome.wrong.most_common():
            print_log(f'  {times} x {what}', logger='current')
    return status
