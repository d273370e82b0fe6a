"""Polygons of blocks against the polygons of the whole."""
import numpy as np
import pytest

pytest.importorskip('rasterio')
shapely = pytest.importorskip('shapely')
pytest.importorskip('geopandas')
pytest.importorskip('pyarrow')

from mamba_cd_plugin.inference.polygons import count_pixels, outline_pixels  # noqa: E402  after the skips
from mamba_cd_plugin.inference.splitting import PixelPolygons  # noqa: E402
from mamba_cd_plugin.regions.grid import RegionGrid, finished_blocks  # noqa: E402
from mamba_cd_plugin.regions.merge import BlockPolygons, first_pixels, merge_blocks, read_block  # noqa: E402


def noise(height, width, share, seed=0):
    """A mask whose polygons touch, wind and enclose each other, and a probability for each pixel."""
    random = np.random.default_rng(seed)
    return (random.random((height, width)) < share).astype(np.uint8), random.integers(
        0, 255, (height, width)).astype(np.uint8)


def cut(mask, probability, grid):
    """The polygons of any block, as a block would leave them."""

    def read(block):
        window = grid.window(*block)
        (top, bottom), (left, right) = window
        shapes = outline_pixels(mask[top:bottom, left:right])
        counts = count_pixels(shapes, probability[top:bottom, left:right])
        bounds = shapely.bounds(shapes).reshape(-1, 4)
        edge = (bounds[:, :2] == 0).any(1) | (bounds[:, 2:] == window.shape[::-1]).any(1)
        return BlockPolygons(PixelPolygons(shapely.transform(shapes, lambda xy: xy + (left, top)), *counts), edge)

    return read


def by_outline(polygons):
    return {shape.wkb: (pixels, round(total, 6)) for shape, pixels, total in zip(*polygons)}


def region(height, width, block):
    return RegionGrid('', (1., 0., 0., 0., 1., 0.), height, width, block)


def all_blocks(grid):
    return [(row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])]


@pytest.mark.parametrize('share', [0.3, 0.55, 0.62, 0.8])
def test_merged_they_are_the_polygons_of_the_whole(share):
    mask, probability = noise(31, 43, share)
    shapes = outline_pixels(mask)
    whole = by_outline(PixelPolygons(shapes, *count_pixels(shapes, probability)))
    assert sum(pixels for pixels, _ in whole.values()) == mask.sum()
    for block in (4, 9, 31, 50):
        grid = region(*mask.shape, block)
        parts = list(merge_blocks(grid, all_blocks(grid)[::-1], cut(mask, probability, grid)))
        found = [by_outline(part) for part in parts]
        assert sum(map(len, found)) == len(whole)
        assert {key: value for part in found for key, value in part.items()} == whole


def test_corners_seams_and_gaps_by_hand():
    mask = np.zeros((8, 12), np.uint8)
    mask[2:6, 3:5] = 1  # over the corner of the four blocks at (4, 4)
    mask[3, 7] = mask[4, 8] = 1  # two pixels in blocks that touch at a corner only
    mask[0, 7:9] = 1  # over a seam, of two pixels
    steps = np.full(mask.shape, 127, np.uint8)
    grid = region(8, 12, 4)
    found = [one for part in merge_blocks(grid, all_blocks(grid), cut(mask, steps, grid)) for one in zip(*part)]
    assert sorted((shape.bounds, pixels, total) for shape, pixels, total in found) == [
        ((3, 2, 5, 6), 8, 4), ((7, 0, 9, 1), 2, 1), ((7, 3, 8, 4), 1, 0.5), ((8, 4, 9, 5), 1, 0.5)]
    assert sorted(first_pixels(grid, np.array([shape for shape, *_ in found])).tolist()) == [7, 27, 43, 56]
    left = [block for block in all_blocks(grid) if block != (1, 1)]
    found = [one for part in merge_blocks(grid, left, cut(mask, steps, grid)) for one in zip(*part)]
    # Without the block in the middle below, the house has lost its lower right quarter and stays one polygon.
    assert sorted((shape.area, len(shape.exterior.coords)) for shape, *_ in found) == [(1, 5), (1, 5), (2, 5), (6, 7)]


def test_what_is_complete_is_given_back_before_the_next_row_of_blocks_is_read():
    mask, probability = noise(80, 24, 0.4)
    grid = region(80, 24, 8)
    bottoms, read = [], cut(mask, probability, grid)
    for block, part in zip(all_blocks(grid), merge_blocks(grid, all_blocks(grid), read)):
        bottoms += shapely.bounds(part.shapes).reshape(-1, 4)[:, 3].tolist()
        if block[1] == grid.shape[1] - 1:
            end = grid.window(*block).rows.stop
            assert len(bottoms) == (shapely.bounds(outline_pixels(mask)).reshape(-1, 4)[:, 3] < end).sum() + (
                0 if end < 80 else sum(bottom == 80 for bottom in bottoms))


def test_files_of_blocks_are_read_into_the_grid_of_the_region(tmp_path, write_region):
    mask, probability = noise(50, 70, 0.5)
    grid = write_region(tmp_path, mask, probability, 32, cog=False)
    blocks = finished_blocks(tmp_path)
    assert len(blocks) == 6
    parts = merge_blocks(grid, blocks, lambda block: read_block(tmp_path, grid, block))
    shapes = outline_pixels(mask)
    assert {key: value for part in parts for key, value in by_outline(part).items()} == by_outline(
        PixelPolygons(shapes, *count_pixels(shapes, probability)))
    (tmp_path / 'blocks/0_1/polygons.parquet').write_bytes(b'PAR1')
    with pytest.raises(ValueError, match=r'0_1/polygons.parquet: cannot be read as the polygons of a block'):
        read_block(tmp_path, grid, (0, 1))
