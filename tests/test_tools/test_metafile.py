"""configs/metafile.yml is what the configs say, and its scores are nobody's measurement."""
from functools import cache
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mamba_cd_plugin.analysis.complexity import count_parameters

ROOT = Path(__file__).parents[2]
INDEX = yaml.safe_load((ROOT / 'configs/metafile.yml').read_text(encoding='utf-8'))
MODELS = {entry['Name']: entry for entry in INDEX['Models']}


@cache
def parameters(config: str) -> int:
    """Parameters of a config's model."""
    return count_parameters(Config.fromfile(ROOT / config))


def test_every_config_has_an_entry() -> None:
    """But for Open-CD's, which are the same models."""
    configs = [path for path in (ROOT / 'configs').rglob('*.py') if not {'_base_', 'opencd'} & {*path.parts}]
    assert len(configs) > 60
    assert sorted(entry['Config'] for entry in INDEX['Models']) == sorted(
        path.relative_to(ROOT).as_posix() for path in configs)
    assert all(Path(entry['Config']).stem == name for name, entry in MODELS.items())


# Models of Open-CD can be counted only where it is: tests/test_peers.py.
@pytest.mark.parametrize('name', [name for name, entry in MODELS.items()
                                  if not {'runs', 'peers'} & {*Path(entry['Config']).parts}])
def test_parameters_are_counted(name: str) -> None:
    assert MODELS[name]['Metadata']['Parameters'] == parameters(MODELS[name]['Config']), \
        'configs/metafile.yml is outdated: run python tools/analysis_tools/metafile.py'


@pytest.mark.parametrize('name', [name for name, entry in MODELS.items() if '/runs/' in entry['Config']])
def test_a_run_costs_what_its_version_does(name: str) -> None:
    run = MODELS[name]['Metadata']
    version = 'v5' if name == 'v5_adamw' else name.partition('_')[2]
    for key in ('Parameters', 'FLOPs'):
        assert run[key] == MODELS[f'cdmamba_{version}_levircd']['Metadata'][key]


@pytest.mark.parametrize('name', MODELS)
def test_the_training_is_the_configs(name: str) -> None:
    cfg, entry = Config.fromfile(ROOT / MODELS[name]['Config']), MODELS[name]['Metadata']
    assert (entry['Batch Size'], entry['Epochs'], entry['Optimizer'], entry['Learning Rate']) == (
        cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.type,
        cfg.optim_wrapper.optimizer.lr), 'configs/metafile.yml is outdated: run python tools/analysis_tools/metafile.py'


def test_scores_are_the_diarys_and_say_so() -> None:
    scores = {name: list(result['Metrics'].values()) for name, entry in MODELS.items()
              for result in entry.get('Results', [])}
    assert scores == {'103041_v5': [81], '103140_v5': [89.68, 90.33], '103144_v6': [88.57], '103145_v6': [89.21],
                      '103165_v5': [89.56]}
    sources = {result['Source'] for entry in INDEX['Models'] for result in entry.get('Results', [])}
    assert sources == {'reported by the diary, not measured here'}
