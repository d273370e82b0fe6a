"""The grid of a region, its blocks and their folders."""
from pathlib import Path

import pytest

from mamba_cd_plugin.regions.grid import MANIFEST, RegionGrid, block_folder, finished_blocks

GRID = RegionGrid('', (0.5, 0., 100., 0., -0.5, 200.), 250, 300, 128)


def test_the_last_blocks_are_smaller() -> None:
    assert GRID.shape == (2, 3)
    assert GRID.window(0, 0) == ((0, 128), (0, 128))
    assert GRID.window(1, 2) == ((128, 250), (256, 300))
    assert tuple(GRID.block_affine(1, 2))[:6] == (0.5, 0, 100 + 0.5 * 256, 0, -0.5, 200 - 0.5 * 128)


def test_a_grid_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert RegionGrid.load(tmp_path) is None
    GRID.save(tmp_path)
    assert RegionGrid.load(tmp_path) == GRID
    (tmp_path / 'grid.json').write_text('{"crs": ""}')
    with pytest.raises(ValueError, match='grid.json: is no grid'):
        RegionGrid.load(tmp_path)


def test_only_whole_blocks_are_found(tmp_path: Path) -> None:
    for row, column in ((10, 0), (2, 1), (2, 0)):
        block_folder(tmp_path, row, column).mkdir(parents=True)
    for row, column in ((10, 0), (2, 1)):
        (block_folder(tmp_path, row, column) / MANIFEST).touch()
    (tmp_path / 'blocks/.3_3.part').mkdir()
    assert finished_blocks(tmp_path) == [(2, 1), (10, 0)]
