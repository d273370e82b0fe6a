"""The images of a region for its map, read by blocks, so that few files are open and a damaged one spoils little."""
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from ..inference.pairs import PairSource, PairTile, Span, Window
from .grid import RegionGrid, block_name
from .mosaic import MosaicPair

Block = tuple[int, int]


class RegionPictures(PairSource):
    """A pair that is read through its blocks; without data where a block is missing or cannot be read.

    Args:
        grid: Grid of the region.
        blocks: Blocks that have a result.
        open_block: Opens the rasters of a block on the grid of the region.
    """

    is_raster = True

    def __init__(self, grid: RegionGrid, blocks: Sequence[Block], open_block: Callable[[Block], MosaicPair]) -> None:
        self.name, self.grid, self.open_block = 'region', grid, open_block
        self.height, self.width = grid.height, grid.width
        self.crs, self.transform = grid.rasterio_crs, grid.affine
        self.notes, self.origin = [], {}
        self.blocks = set(blocks)

    def read(self, window: Window) -> PairTile:
        """One window at full resolution."""
        whole = _empty(*window.shape)
        ranges = (range(span.start // self.grid.block, (span.stop - 1) // self.grid.block + 1) for span in window)
        rows, columns = ranges
        for block in ((row, column) for row in rows for column in columns):
            part = Window(*(Span(max(one.start, other.start), min(one.stop, other.stop))
                            for one, other in zip(window, self.grid.window(*block))))
            place = tuple(slice(one.start - origin.start, one.stop - origin.start)
                          for one, origin in zip(part, window))
            self._put(whole, place, block, partial(MosaicPair.read, window=part))
        return whole

    def thumbnail(self, factor: int) -> PairTile:
        """The whole region, smaller by a whole factor; at seams exact to a pixel of it."""
        whole = _empty(-(-self.height // factor), -(-self.width // factor))
        for block in sorted(self.blocks):
            window = self.grid.window(*block)
            place = tuple(slice(span.start // factor, span.stop // factor if span.stop < size else -(-size // factor))
                          for span, size in zip(window, (self.height, self.width)))
            shape = tuple(one.stop - one.start for one in place)
            if all(shape):  # else smaller than a small pixel
                self._put(whole, place, block, partial(_shrink, window=window, factor=factor, shape=shape))
        return whole

    def _put(self, whole: PairTile, place: tuple, block: Block, read: Callable[[MosaicPair], PairTile]) -> None:
        if block not in self.blocks:
            return
        try:
            with self.open_block(block) as pair:
                tile = read(pair)
        except (OSError, ValueError) as error:  # of a file that was moved since; the results do not need it
            print_log(f'the map has no picture of block {block_name(*block)}: {error}', 'current')
            return
        whole.pair[place], whole.valid[place] = tile


def _empty(height: int, width: int) -> PairTile:
    return PairTile(np.full((height, width, 6), 255, np.uint8), np.zeros((height, width), bool))


def _shrink(pair: MosaicPair, window: Window, factor: int, shape: tuple[int, ...]) -> PairTile:
    """A block that starts within a small pixel is stretched by less than one."""
    tile = pair.shrink(window, factor)
    if tile.valid.shape == shape:
        return tile
    size = (shape[1], shape[0])
    images = [np.asarray(Image.fromarray(tile.pair[..., start:start + 3]).resize(size, Image.Resampling.NEAREST))
              for start in (0, 3)]
    return PairTile(np.concatenate(images, axis=2),
                    np.asarray(Image.fromarray(tile.valid).resize(size, Image.Resampling.NEAREST)))
