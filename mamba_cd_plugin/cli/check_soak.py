"""Predict and train for minutes on end, and see that memory and open files stay: mamba-cd check-soak --minutes 30

Both are the commands that users run, at toy size: a prediction of a folder of many pairs, and a training that validates
after each epoch. The plot OUT/soak.png shows what they took. What half an hour adds is estimated with its uncertainty:
a run that is too short to show that nothing grew is not called flat.
"""
import argparse
import sys
from pathlib import Path

from mmengine.logging import print_log

from ..analysis.soak import PAUSE, WARM_UP, Soak, draw, judge, soak_prediction, soak_training
from ..analysis.stops import CONFIG, SETTINGS
from ..synthetic import write_dataset

ENDLESS = 1_000_000  # epochs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--minutes', type=float, default=30, help='of each (default 30)')
    parser.add_argument('--pairs', type=int, default=4000, help='to predict at most (default 4000)')
    parser.add_argument('--out', default='work_dirs/check_soak', help='folder for data, runs and the plot')


def run(args: argparse.Namespace) -> int:
    """Check; the exit status is 1 where something grew or failed, or cannot be told."""
    out = Path(args.out).resolve()
    write_dataset(out / 'data', 6, 2, 2, size=64, seed=3, overwrite=True)
    train = [sys.executable, '-m', 'mamba_cd_plugin', 'train', CONFIG, '--work-dir', str(out / 'run'), '--resume',
             '--cfg-options', f'data_root={out}/data', *SETTINGS, f'train_cfg.max_epochs={ENDLESS}',
             f'param_scheduler.1.T_max={ENDLESS}', f'custom_hooks.0.patience={ENDLESS}']
    training = soak_training(out, train, 60 * args.minutes)
    best = out / 'run/best_changed_F1.pth'
    soaks = [soak_prediction(out, best, args.pairs, 60 * args.minutes), training]
    draw(soaks, out / 'soak.png')
    return max([report(soak) for soak in soaks])


def report(soak: Soak) -> int:
    """Say what came of a run; 1 where it failed, something grew, or it was too short to tell."""
    failed = soak.status not in (0, -15, 143)
    verdicts = judge(soak.samples)
    said = f'{soak.name}: {soak.done}, exit status {soak.status}'
    if not verdicts:
        print_log(f'{said}; too short to judge, with {len(soak.samples)} samples, one every {PAUSE:.0f} s',
                  logger='current')
        return 1
    first, last = soak.samples[int(WARM_UP * len(soak.samples))], soak.samples[-1]
    print_log(f'{said}; from minute {first.second / 60:.1f} to {last.second / 60:.1f}:', logger='current')
    for name, (low, high, word) in verdicts.items():
        unit, scale = (' MiB', 2**20) if name in ('memory', 'children') else ('', 1)
        before, after = (getattr(sample, name) / scale for sample in (first, last))
        more = ': too short or too restless to judge, let it run longer' if word == 'uncertain' else ''
        print_log(f'{soak.name}, {name}: {before:,.0f} -> {after:,.0f}{unit}, {low / scale:+,.1f} to '
                  f'{high / scale:+,.1f} in half an hour: {word}{more}', logger='current')
    return int(failed or any(verdict.word != 'flat' for verdict in verdicts.values()))
