"""Predict and train for minutes on end, and see that memory and open files stay: mamba-cd check-soak --minutes 30

Both are the commands that users run, at toy size: a prediction of a folder of many pairs, and a training that validates
after each epoch. The plot OUT/soak.png shows what they took.
"""
import argparse
import sys
from pathlib import Path

from mmengine.logging import print_log

from ..analysis.soak import Soak, draw, soak_prediction, soak_training, what_grew
from ..analysis.stops import CONFIG, SETTINGS
from ..synthetic import write_dataset

ENDLESS = 1_000_000  # epochs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--minutes', type=float, default=30, help='of each (default 30)')
    parser.add_argument('--pairs', type=int, default=4000, help='to predict at most (default 4000)')
    parser.add_argument('--out', default='work_dirs/check_soak', help='folder for data, runs and the plot')


def run(args: argparse.Namespace) -> int:
    """Check; the exit status is 1 where something grew or failed."""
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
    """Say what came of a run; 1 where something grew or it failed."""
    grown = what_grew(soak.samples)
    first, last = soak.samples[len(soak.samples) // 5], soak.samples[-1]
    print_log(f'{soak.name}: {last.second / 60:.1f} minutes, {soak.done}, exit status {soak.status}; '
              f'memory {first.memory >> 20} -> {last.memory >> 20} MiB, children {first.children >> 20} -> '
              f'{last.children >> 20} MiB, files {first.files} -> {last.files}, threads {first.threads} -> '
              f'{last.threads}; {"grew: " + "; ".join(grown) if grown else "all flat"}', logger='current')
    return 1 if grown or soak.status not in (0, -15, 143) else 0
