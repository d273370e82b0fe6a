"""See pairs as the model gets them, after augmentation, as PNG contact sheets:

    python tools/analysis_tools/browse_dataset.py configs/cdmamba_v8_levircd.py --num 8 --draws 3
"""
import argparse
from pathlib import Path

import numpy as np
from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

import mamba_cd_plugin  # noqa: F401  registers everything, also for a config that forgot custom_imports
from mamba_cd_plugin.cli.experiment import merge_options
from mamba_cd_plugin.datasets import with_data_root
from mamba_cd_plugin.preparation.check.contact_sheet import draw_contact_sheet, sample_from

# Samples on one sheet.
SHEET = 12


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='of which loader')
    parser.add_argument('--num', type=int, default=8, help='pairs, spread over the split (default 8)')
    parser.add_argument('--draws', type=int, default=3, help='times that each pair is augmented anew (default 3)')
    parser.add_argument('--out', help='folder to write; default work_dirs/browse/<name of the config>')
    parser.add_argument('--seed', type=int, default=0, help='the same seed draws the same augmentation')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='overrides, key=value')
    return parser.parse_args()


def main() -> None:
    """Write the sheets."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    merge_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    loader = with_data_root(cfg[f'{args.split}_dataloader'], cfg.get('data_root'))
    dataset = DATASETS.build(loader['dataset'])
    np.random.seed(args.seed)
    chosen = np.linspace(0, len(dataset) - 1, min(args.num, len(dataset))).round().astype(int)
    samples = [sample_from(dataset[index], f'{Path(dataset.get_data_info(index)["img_path"]).stem}, draw {draw + 1}')
               for index in chosen.tolist() for draw in range(args.draws)]
    out = Path(args.out or Path('work_dirs/browse') / Path(args.config).stem)
    out.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(samples), SHEET)):
        path = out / f'{args.split}_{number:02d}.png'
        Image.fromarray(draw_contact_sheet(samples[start:start + SHEET])).save(path)
        print_log(f'{path}: {len(samples[start:start + SHEET])} samples')


if __name__ == '__main__':
    main()
