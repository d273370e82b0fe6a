"""Let commands write to disks that are full, without inodes or quota, or read-only: mamba-cd check-disks

Each disk is a small tmpfs, or for the quota a btrfs in a file, so that only root can run this. A training, a test, a
conversion, a prediction, a mosaic and a report, at toy size, are to end with one line that says what is wrong with the
disk, to leave nothing half-written, and to go on when they are run again with room.
"""
import argparse
from itertools import product
from pathlib import Path

import torch
from mmengine.logging import print_log
from prettytable import PrettyTable

from ..analysis.disks import Case, Disk, QuotaDisk, try_case
from ..analysis.stops import CONFIG, SETTINGS
from ..synthetic import write_dataset
from .main import main

# Of the toy training; no data workers, since the processes are forks themselves.
FEW = ('train_cfg.max_epochs=2', 'param_scheduler.1.T_max=2', 'train_dataloader.num_workers=0',
       'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0',
       'val_dataloader.persistent_workers=False', 'test_dataloader.num_workers=0',
       'test_dataloader.persistent_workers=False')
DISKS = {'tmpfs': Disk, 'quota': QuotaDisk}


def cases(data: Path) -> dict[str, Case]:
    """The commands by name.

    Args:
        data: Holds ``scenes`` (LEVIR layout) and ``town`` (two GeoTIFFs).
    """
    options = ['--cfg-options', f'data_root={data}/scenes', *SETTINGS, *FEW]
    train = ['train', CONFIG, '--work-dir', '{out}/run', '--resume', *options]
    best = '{out}/run/best_changed_F1.pth'
    return {
        'train': Case('train', train),
        'test': Case('test', ['test', CONFIG, best, '--work-dir', '{out}/test', '--out', '{out}/masks', '--show-dir',
                              '{out}/pictures', *options], [train]),
        'prepare': Case('prepare', ['prepare', 'folder', f'{data}/scenes', '{out}/tiles', '--size', '32',
                                    '--workers', '1']),
        'predict': Case('predict', ['predict', f'{data}/town/town_2019.tif', f'{data}/town/town_2023.tif',
                                    '--checkpoint', best, '--out', '{out}/changes', '--tile', '128', '--overlap', '32'],
                        [train]),
        'mosaic': Case('mosaic', ['mosaic', '--before', f'{data}/town/town_2019.tif', '--after',
                                  f'{data}/town/town_2023.tif', '--checkpoint', best, '--out', '{out}/region',
                                  '--block', '128', '--tile', '128', '--overlap', '32', '--probability', 'uint8'],
                       [train]),
        'report': Case('report', ['report', '{out}/run', '--out', '{out}/report', '--no-speed', '--panels', '1',
                                  '--resamples', '50'], [train]),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--commands', nargs='+', choices=list(cases(Path())), help='which (default: all)')
    parser.add_argument('--disks', nargs='+', choices=DISKS, default=list(DISKS),
                        help='tmpfs: full, without inodes, read-only; quota: needs btrfs-progs (default: both)')
    parser.add_argument('--out', default='work_dirs/check_disks', help='folder for the data and the mounted disks')


def run(args: argparse.Namespace) -> int:
    """Check; the exit status is 1 where something did not hold."""
    torch.set_num_threads(1)  # others would not survive the forks
    out = Path(args.out).resolve()
    write_dataset(out / 'scenes', 6, 2, 6, size=64, seed=3, overwrite=True)
    if not (out / 'town').exists():
        main(['sample', str(out / 'town'), '--size', '300', '400'])
    table = PrettyTable(['command', 'disk', 'seconds', 'wrong', 'last line'], align='l', max_width=60)
    chosen = cases(out)
    disks = [DISKS[kind](out / 'disk') for kind in args.disks]
    status = 0
    for name, disk in product(args.commands or chosen, disks):
        for trial in try_case(chosen[name], disk, main, out / 'output.log'):
            wrong = '; '.join(trial.wrong)
            table.add_row([trial.case, trial.fault, f'{trial.seconds:.0f}', wrong or 'nothing', trial.message])
            status |= bool(wrong)
            print_log(f'{trial.case}, {trial.fault}: {wrong or "held"}\n    {trial.message}', logger='current')
    print_log(f'\n{table}', logger='current')
    return status
