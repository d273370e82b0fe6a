"""Where tiles lie, and how many there are, worked out by hand."""
from pathlib import Path

import pytest
from mmengine import Config

from mamba_cd_plugin.preparation.convert import CATALOG, Tiling, expected_counts, tile_origins


@pytest.mark.parametrize('length, size, overlap, edges, origins', [
    (1024, 256, 0, 'shift', [0, 256, 512, 768]),
    (1024, 256, 0, 'drop', [0, 256, 512, 768]),
    (1024, 256, 64, 'shift', [0, 192, 384, 576, 768]),  # 768 + 256 = 1024: nothing is left over
    (1000, 256, 0, 'drop', [0, 256, 512]),  # 232 pixels are left out
    (1000, 256, 0, 'shift', [0, 256, 512, 744]),  # the last tile ends at 1000
    (257, 256, 0, 'shift', [0, 1]),
    (256, 256, 255, 'shift', [0]),
    (5, 3, 2, 'drop', [0, 1, 2]),
])
def test_origins(length, size, overlap, edges, origins):
    assert tile_origins(length, size, overlap, edges) == origins


def test_image_smaller_than_a_tile():
    with pytest.raises(ValueError, match='200 pixels are less than one tile of 256'):
        tile_origins(200, 256)


@pytest.mark.parametrize('setting, message', [
    (dict(size=0), 'tile size 0'),
    (dict(size=64, overlap=64), 'overlap 64 of tiles of 64: expected 0 to 63'),
    (dict(overlap=-1), 'overlap -1'),
    (dict(edges='pad'), "edges 'pad': expected one of shift, drop"),
    (dict(val_share=1.), 'val_share 1.0'),
])
def test_settings_without_sense(setting, message):
    with pytest.raises(ValueError, match=message):
        Tiling(**setting)


@pytest.mark.parametrize('key, tiling, tiles', [
    ('levircd', dict(), dict(train=7120, val=1024, test=2048)),  # 16 of each image, as in the papers
    ('levircd', dict(overlap=64), dict(train=445 * 25, val=64 * 25, test=128 * 25)),
    ('clcd', dict(), dict(train=1440, val=480, test=480)),
    ('sysu_cd', dict(), dict(train=12000, val=4000, test=4000)),
    ('s2looking', dict(), dict(train=56000, val=8000, test=16000)),
    ('levircd_plus', dict(val_share=0.), dict(train=10192, test=5568)),
    ('levircd_plus', dict(val_share=0.1), dict(train=573 * 16, val=64 * 16, test=5568)),  # 63.7 images set aside
    # 21243 = 82 x 256 + 251, 15354 = 59 x 256 + 250, 11265 = 44 x 256 + 1: in papers 82 x 59 + 44 x 59 = 7,434 tiles
    ('whu_cd', dict(edges='drop'), dict(train=4838, test=2596)),
    # The release itself comes with tiles of 512 too: 1,260 and 690.
    ('whu_cd', dict(size=512), dict(train=1260, test=690)),
    # 8 of the 82 columns are set aside: train ends at 74 x 256 = 18944
    ('whu_cd', dict(edges='drop', val_share=0.1), dict(train=74 * 59, val=8 * 59, test=2596)),
])
def test_official_numbers(key, tiling, tiles):
    counts = expected_counts(CATALOG[key], Tiling(**tiling))
    assert {split: count.tiles for split, count in counts.items()} == tiles


@pytest.mark.parametrize('key', CATALOG)
def test_docs_and_configs_state_the_same(key):
    """The row of docs/datasets.md and the base config's comment give the numbers of a conversion without options."""
    root = Path(__file__).parents[2]
    facts = CATALOG[key]
    counts = expected_counts(facts, Tiling(edges=facts.edges, val_share=facts.val_share))
    numbers = ' / '.join(f'{counts[split].tiles:,}' for split in ('train', 'val', 'test'))
    row, = (line for line in (root / 'docs/datasets.md').read_text().splitlines() if f'| `{key}` |' in line)
    assert numbers in row
    assert numbers in (root / f'configs/_base_/datasets/{key}_256.py').read_text()
    config = root / f'configs/cdmamba_v8_{key}.py'
    assert config.name in row
    assert Config.fromfile(config).data_root.endswith('_256')
