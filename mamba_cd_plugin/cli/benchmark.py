"""Time and memory of the scan, the encoder, the model and its training step, side by side with their alternatives.

Another model is run beside ours by its import path: PYTHONPATH=... --other package.module:factory, where factory()
gives a torch module that takes a pair (N, 6, H, W), or two images if its forward has two arguments.
"""
import argparse

import torch
from mmengine.logging import print_log

from ..analysis.benchmark import SUITES, Settings, write_benchmark
from ..analysis.benchmark import run as measure
from ..analysis.report_files import file_names
from ..analysis.timing import CLOCKS
from ..io.files import OutputFolder
from ..resources import find_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--config', default='cdmamba_v8_levircd', help='config of the model; default CDMamba V8')
    parser.add_argument('--suites', nargs='+', choices=SUITES, default=list(SUITES))
    parser.add_argument('--backends', nargs='+', default=['c', 'torch', 'ref'], help='missing ones are skipped')
    parser.add_argument('--other', default='', metavar='MODULE:FACTORY', help='another model to run beside ours')
    parser.add_argument('--other-train', action='store_true', help='also time a training step of the other model')
    parser.add_argument('--size', type=int, default=256, metavar='PX', help='side of the pair')
    parser.add_argument('--growth', type=int, nargs='+', default=[128, 256, 512, 1024], metavar='PX')
    parser.add_argument('--seconds', type=float, default=60., help='for each group of cases')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument(
        '--clock', choices=CLOCKS, default='wall',
        help='cpu: processor time of all threads, for a busy machine; set OMP_WAIT_POLICY=passive with it')
    parser.add_argument('--no-memory', action='store_true', help='leave out peak memory')
    parser.add_argument('--quick', action='store_true', help='tiny sizes, one sample, no memory: to see that it runs')
    parser.add_argument('--out', default='work_dirs/benchmark', help='folder for benchmark.md, .csv and .png')


def run(args: argparse.Namespace) -> None:
    """Measure and write the report."""
    OutputFolder(args.out, option='--out').refuse_foreign(file_names('benchmark'))
    sizes = dict(op_shapes=[(1, 4, 8, 64, 1)], size=64, growth=(64, 96), seconds=0., min_rounds=1, memory=False) \
        if args.quick else dict(size=args.size, growth=args.growth, seconds=args.seconds, memory=not args.no_memory)
    groups = measure(
        Settings(str(find_config(args.config)), args.suites, args.backends, args.other, args.other_train,
                 clock=args.clock, threads=args.threads, **sizes))
    paths = write_benchmark(groups, args.out)
    print_log(paths[0].read_text() + 'written: ' + ', '.join(map(str, paths)))
