"""Stop a toy training at random moments, resume it, and compare its end with one left alone: mamba-cd check-stops"""
import argparse
import signal
from pathlib import Path

from mmengine.logging import print_log

from ..analysis.stops import stop_often, summarize
from ..synthetic import write_dataset

SIGNALS = {'SIGKILL': signal.SIGKILL, 'SIGTERM': signal.SIGTERM, 'SIGINT': signal.SIGINT}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--stops', type=int, default=20, help='number of stops (default 20)')
    parser.add_argument('--signals', nargs='+', choices=SIGNALS, default=['SIGKILL'],
                        help='signals to stop it with, in turn')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    parser.add_argument('--out', default='work_dirs/check_stops', help='folder for the data and the trainings')


def run(args: argparse.Namespace) -> int:
    """Check; the exit status is 1 where something did not hold."""
    out = Path(args.out).resolve()
    write_dataset(out / 'data', 6, 2, 2, size=64, seed=3, overwrite=True)
    figures = summarize(*stop_often(out / 'data', out, args.stops, args.seed, [SIGNALS[name] for name in args.signals]))
    for name, value in figures.items():
        print_log(f'{name}: {value}')
    held = figures['ended with other bits'] == figures['wrong exit status or a traceback'] == 'none'
    return 0 if held and figures['most iterations lost'] <= figures['iterations in an epoch'] else 1
