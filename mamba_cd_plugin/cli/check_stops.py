"""Stop a toy training at random moments, resume it, and compare its end with one left alone: mamba-cd check-stops

With --interrupt it measures instead how long commands take to end after Ctrl-C, and with --together it ends two
processes that train together: by killing one of them, and by SIGTERM to their launcher.
"""
import argparse
import signal
from pathlib import Path
from statistics import median

from mmengine.logging import print_log

from ..analysis.interrupts import GOAL, commands, interrupt_often
from ..analysis.stops import stop_often, summarize
from ..analysis.together import FAULTS, end_together
from ..synthetic import write_dataset
from ..synthetic.sample_rasters import sample_pair

ERRORS = (ValueError, OSError, ImportError, RuntimeError)
SIGNALS = {'SIGKILL': signal.SIGKILL, 'SIGTERM': signal.SIGTERM, 'SIGINT': signal.SIGINT}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--stops', type=int, default=20, help='number of stops; of each command with --interrupt '
                        '(default 20)')
    parser.add_argument('--signals', nargs='+', choices=SIGNALS, default=['SIGKILL'],
                        help='signals to stop it with, in turn')
    parser.add_argument('--interrupt', nargs='+', choices=list(commands(Path(), Path())), metavar='COMMAND',
                        help='measure Ctrl-C for these commands: %(choices)s')
    parser.add_argument('--together', action='store_true', help='end two processes that tools/dist_train.sh starts')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    parser.add_argument('--out', default='work_dirs/check_stops', help='folder for the data and the trainings')


def run(args: argparse.Namespace) -> int:
    """Check; the exit status is 1 where something did not hold."""
    out = Path(args.out).resolve()
    if args.interrupt:
        return _interrupt(args, out)
    write_dataset(out / 'data', 6, 2, 2, size=64, seed=3, overwrite=True)
    if args.together:
        ends = [end_together(out / 'data', out, fault) for fault in FAULTS]
        for end in ends:
            print_log(f'{end.fault}: {end.seconds:.1f} s, status {end.status}, {end.wrong or "held"}')
        return int(any(end.wrong for end in ends))
    figures = summarize(*stop_often(out / 'data', out, args.stops, args.seed, [SIGNALS[name] for name in args.signals]))
    for name, value in figures.items():
        print_log(f'{name}: {value}')
    held = figures['ended with other bits'] == figures['wrong exit status or a traceback'] == 'none'
    return 0 if held and figures['most iterations lost'] <= figures['iterations in an epoch'] else 1


def _interrupt(args: argparse.Namespace, out: Path) -> int:
    write_dataset(out / 'scenes', 6, 2, 300, size=64, seed=3, overwrite=True)
    sample_pair(out / 'town', (3000, 3000))
    held, chosen = True, commands(out, out)
    for name in args.interrupt:
        ends = []
        for end in interrupt_often(chosen[name], args.stops, args.seed, out / 'output.log'):
            print_log(f'{name}, {end.moment}: {end.seconds:.2f} s ({end.cpu:.2f} of a processor), status {end.status}, '
                      f'{end.wrong or "held"}: {end.last_words}')
            held &= not end.wrong and end.seconds <= GOAL
            ends.append(end)
        seconds, cpu = [end.seconds for end in ends], [end.cpu for end in ends]
        print_log(f'{name}: {len(ends)} times, {median(seconds):.2f} s in the median and {max(seconds):.2f} s at most; '
                  f'of a processor {median(cpu):.2f} s and {max(cpu):.2f} s')
    return 0 if held else 1
