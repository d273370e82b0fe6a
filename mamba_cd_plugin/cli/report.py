"""Report of one run, or comparison of several, as one HTML page:

    mamba-cd report work_dirs/cdmamba_v6_1_levircd work_dirs/cdmamba_v8_levircd

The best checkpoint of each work dir is run over its test set once; what it predicts is kept in the work dir, so that
the next report is drawn from there. The first run is the one that the others are compared with.
"""
import argparse
from pathlib import Path

from mmengine.device import get_device
from mmengine.logging import print_log

from ..engine.config_options import OptionsAction
from ..report import ReportOptions, Sampling, open_runs, write_report

ERRORS = (OSError, ValueError, KeyError)
STOPPED = 'stopped; run the same command again to resume'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    options, sampling = ReportOptions(), Sampling()
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='folders of finished runs')
    parser.add_argument('--out', help='folder to write; default WORK_DIR/report, or work_dirs/report for several')
    parser.add_argument('--names', nargs='+', help='what to call the runs (default: the names of their folders)')
    parser.add_argument('--checkpoint', help='checkpoint file in each work dir (default: the best one)')
    parser.add_argument('--split', choices=['test', 'val'], default=options.split, help='split to score (default test)')
    parser.add_argument('--device', default=get_device(), help='such as cpu or cuda:0 (default: the best available)')
    parser.add_argument('--threshold', type=float,
                        help="probability above which a pixel is called changed (default: the head's)")
    parser.add_argument('--panels', type=int, default=options.panels,
                        help=f'number of worst, best and most different tiles per run (default {options.panels})')
    parser.add_argument('--maps', type=int, default=options.maps,
                        help=f"number of tiles with gates and edge maps (default {options.maps})")
    parser.add_argument('--no-maps', action='store_const', dest='maps', const=0, help='no gates and edge maps')
    parser.add_argument('--no-speed', action='store_true', help='do not time the models')
    parser.add_argument('--fresh', action='store_true', help='evaluate again, even where results are stored')
    parser.add_argument('--resamples', type=int, default=sampling.resamples,
                        help=f'bootstrap resamples (default {sampling.resamples})')
    parser.add_argument('--seed', type=int, default=sampling.seed, help='of the bootstrap and the tests (default 0)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, default={},
                        help='overrides of the configs, key=value, such as data_root=/my/pairs')


def run(args: argparse.Namespace) -> None:
    """Write the report."""
    options = ReportOptions(
        split=args.split, device=args.device, threshold=args.threshold, panels=args.panels, maps=args.maps,
        timed=not args.no_speed, fresh=args.fresh, sampling=Sampling(resamples=args.resamples, seed=args.seed))
    out = args.out or (f'{args.work_dirs[0]}/report' if len(args.work_dirs) == 1 else 'work_dirs/report')
    runs = open_runs(args.work_dirs, args.names, checkpoint=args.checkpoint, cfg_options=args.cfg_options)
    print_log(f'report: {write_report(runs, Path(out), options)}')
