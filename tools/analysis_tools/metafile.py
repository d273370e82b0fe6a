"""Write what was counted into configs/metafile.yml: python tools/analysis_tools/metafile.py

An entry per config, in OpenMMLab's model-index form; those for Open-CD are the same models. Parameters, FLOPs and what
the config says of its training are written anew; everything else, the results above all, is kept as it stands there.
Models of Open-CD keep their counts where it is not importable.
"""
import argparse
import json
from fnmatch import fnmatch
from pathlib import Path

import yaml
from mmengine.config import Config
from mmengine.logging import print_log

from mamba_cd_plugin import register_all_modules
from mamba_cd_plugin.analysis.complexity import Cost, measure_complexity
from mamba_cd_plugin.models.peers import OpenCDUnavailable
from mamba_cd_plugin.resources import list_configs

ROOT = Path(__file__).parents[2]
METAFILE = ROOT / 'configs/metafile.yml'
HEADER = '# Written by tools/analysis_tools/metafile.py, which keeps the results. FLOPs: multiply-adds on one pair.\n'
SIZE = 256
COUNTS = ('Parameters', 'FLOPs', 'Training FLOPs')
# The collection of the configs in configs/baselines, by the first word of their names; all others are ours.
# Those in configs/peers are Open-CD's.
PEERS = 'Open-CD'
BASELINES = dict(aernet='AERNet', changemamba='ChangeMamba', conmamba='ConMamba')


def find_configs() -> list[Path]:
    """The versions, then folder by folder the others."""
    return [ROOT / 'configs' / f'{name}.py' for name in list_configs() if not name.startswith('opencd/')]


def describe_training(cfg: Config) -> dict:
    """What the config says of its training, by model-index's names where it has one."""
    optimizer = cfg.optim_wrapper.optimizer
    return {
        'Batch Size': cfg.train_dataloader.batch_size,
        'Epochs': cfg.train_cfg.max_epochs,
        'Optimizer': optimizer.type,
        'Learning Rate': optimizer.lr,
    }


def describe_cost(cost: Cost) -> dict:
    """The counts; the training's forward pass only where it differs."""
    extra = {} if cost.training_flops == cost.flops else {'Training FLOPs': cost.training_flops}
    return {'Parameters': cost.parameters, 'FLOPs': cost.flops, **extra}


def count(cfg: Config, name: str, costs: dict[str, Cost]) -> Cost:
    """The cost of a config's model, from ``costs`` where another config has the same one."""
    model = json.dumps({**cfg.model, 'backbone': {**cfg.model.backbone, 'init_cfg': None}}, sort_keys=True)
    if model not in costs:
        print_log(f'counting {name}')
        costs[model] = measure_complexity(cfg, (SIZE, SIZE)).sum_of()
    return costs[model]


def main() -> None:
    """Count every config's model, each once, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', default='*', metavar='PATTERN',
                        help="count the configs whose names match, such as 'peers/*'; all others keep their counts")
    args = parser.parse_args()
    register_all_modules()
    index = yaml.safe_load(METAFILE.read_text(encoding='utf-8'))
    kept = {entry['Name']: {'Results': entry['Results']} for entry in index['Models'] if 'Results' in entry}
    counted = {entry['Name']: {key: entry['Metadata'][key] for key in COUNTS if key in entry['Metadata']}
               for entry in index['Models']}
    costs: dict[str, Cost] = {}
    index['Models'] = []
    for path in find_configs():
        cfg, cost = Config.fromfile(path), counted.get(path.stem)
        if cost is None or fnmatch(path.relative_to(ROOT / 'configs').with_suffix('').as_posix(), args.only):
            try:
                cost = describe_cost(count(cfg, path.stem, costs))
            except OpenCDUnavailable as error:
                if cost is None:
                    raise SystemExit(f'{path.stem} has no counts yet: {error}') from error
        index['Models'].append({
            'Name': path.stem,
            'In Collection': PEERS if path.parent.name == 'peers' else BASELINES.get(
                path.stem.split('_')[0], 'CDMamba'),
            'Config': path.relative_to(ROOT).as_posix(),
            'Metadata': {'Input Size': f'{SIZE} x {SIZE}', **describe_training(cfg), **cost},
            **kept.get(path.stem, {}),
        })
    METAFILE.write_text(HEADER + yaml.safe_dump(index, sort_keys=False, allow_unicode=True, width=120),
                        encoding='utf-8')


if __name__ == '__main__':
    main()
