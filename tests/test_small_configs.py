"""The small versions: each is its version's model at the small V8's size, trained exactly as the small V8."""
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[1] / 'configs'
# Of a size that V8 does not have: half of d, 12 of 24 as 32 of 64.
OWN_SIZES = dict(cdmamba_v7={'model.decode_head.level_output.width': 12})
SMALL = sorted(path.stem for path in (CONFIGS / 'small').glob('*.py'))


def flat(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """The plain values of nested dicts and lists, by dotted keys."""
    if isinstance(node, (dict, list, tuple)) and node:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from flat(value, f'{prefix}{key}.')
    else:
        yield prefix[:-1], node


def read(name: str) -> dict[str, Any]:
    """A config by its path under configs/, as plain values by dotted keys."""
    return dict(flat(Config.fromfile(CONFIGS / f'{name}.py').to_dict()))


def differing(a: dict[str, Any], b: dict[str, Any], prefix: str) -> dict[str, Any]:
    """What ``b`` has where it is unlike ``a``, of the keys with this prefix."""
    return {key: b.get(key) for key in {**a, **b} if key.startswith(prefix) and a.get(key, ...) != b.get(key, ...)}


def test_the_versions_are_there_for_both_data_sets() -> None:
    versions = ('v1', 'v3', 'v5', 'v6_1', 'v7')
    names = [f'cdmamba_{version}_small_{data}' for version in versions for data in ('levircd', 'synthetic')]
    assert sorted(names) == SMALL


@pytest.mark.parametrize('name', SMALL)
def test_a_small_version_differs_from_its_own_by_size_alone(name: str) -> None:
    version, data = name.split('_small_')
    size_of_v8 = differing(read('cdmamba_v8_levircd'), read(f'cdmamba_v8_small_{data}'), 'model.')
    size = differing(read(f'{version}_levircd'), read(f'small/{name}'), 'model.')
    expected = {**size_of_v8, **OWN_SIZES.get(version, {})}
    assert size.keys() <= expected.keys() and size == {key: expected[key] for key in size}
    assert size['model.backbone.arch'] == 'small' and size['model.neck.in_channels.0'] == 24


@pytest.mark.parametrize('name', SMALL)
def test_a_small_version_is_trained_as_the_small_v8(name: str) -> None:
    ours, v8 = read(f'small/{name}'), read(f'cdmamba_v8_small_{name.split("_small_")[1]}')
    for part in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'custom_hooks', 'randomness'):
        assert differing(v8, ours, part) == {}


@pytest.mark.parametrize('version', ['v1', 'v3', 'v5', 'v6_1', 'v7'])
def test_the_recipe_changes_no_version(version: str) -> None:
    ours, small = read(f'recipes/cdmamba_{version}_small_tiles'), read(f'small/cdmamba_{version}_small_levircd')
    losses = 'model.decode_head.loss_decode.'
    assert {key for key in differing(small, ours, 'model.') if not key.startswith(losses)} == set()
    v8 = read('recipes/cdmamba_v8_small_tiles')
    assert differing(v8, ours, losses) == {}
    for part in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'randomness'):
        assert differing(v8, ours, part) == {}
