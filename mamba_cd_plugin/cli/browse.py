"""See pairs as the model gets them, after augmentation, as PNG contact sheets:

    mamba-cd browse cdmamba_v8_levircd --num 8 --draws 3
"""
import argparse
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmseg.registry import DATASETS
from PIL import Image

from ..datasets import with_data_root
from ..io.files import OutputFolder
from ..preparation.check.contact_sheet import draw_contact_sheet, sample_from
from .experiment import add_config_arguments, read_config

ERRORS = (OSError, KeyError, ValueError)
# Samples on one sheet.
SHEET = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='of which loader')
    parser.add_argument('--num', type=int, default=8, help='pairs, spread over the split (default 8)')
    parser.add_argument('--draws', type=int, default=3, help='times that each pair is augmented anew (default 3)')
    parser.add_argument('--out', help='folder to write; default work_dirs/browse/<name of the config>')
    parser.add_argument('--seed', type=int, default=0, help='the same seed draws the same augmentation')


def run(args: argparse.Namespace) -> None:
    """Write the sheets."""
    cfg = read_config(args)
    loader = with_data_root(cfg[f'{args.split}_dataloader'], cfg.get('data_root'))
    dataset = DATASETS.build(loader['dataset'])
    np.random.seed(args.seed)
    chosen = np.linspace(0, len(dataset) - 1, min(args.num, len(dataset))).round().astype(int)
    samples = [sample_from(dataset[index], f'{Path(dataset.get_data_info(index)["img_path"]).stem}, draw {draw + 1}')
               for index in chosen.tolist() for draw in range(args.draws)]
    out = Path(args.out or Path('work_dirs/browse') / Path(args.config).stem)
    starts = range(0, len(samples), SHEET)
    outputs = OutputFolder(out, getattr(dataset, 'data_prefix', {}).values(), '--out')
    outputs.claim([f'{args.split}_{number:02d}.png' for number in range(len(starts))])
    for number, start in enumerate(starts):
        name = f'{args.split}_{number:02d}.png'
        with outputs.write(name) as part:
            Image.fromarray(draw_contact_sheet(samples[start:start + SHEET])).save(part)
        print_log(f'{out / name}: {len(samples[start:start + SHEET])} samples')
