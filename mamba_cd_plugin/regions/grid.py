"""The grid of a region and its blocks, and where the files of a block lie.

::

    out/grid.json                      the grid
    out/blocks/<row>_<column>/         a block; there as a whole or not at all
        mask.tif                       0 unchanged, 1 changed, 255 nodata; a COG
        probability.tif                on request; a COG
        polygons.parquet               outlines of the changed pixels, not simplified and of any size: ``geometry``,
                                       ``pixels``, ``probability_sum`` (0..1 per pixel), ``touches_edge`` (of the block)
        manifest.json                  what the block was made from
    out/logs/<row>_<column>.log        every attempt at the block
"""
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS

from ..inference.pairs import Span, Window
from ..io.files import whole_file

GRID = 'grid.json'
BLOCKS = 'blocks'
LOGS = 'logs'
MASK, PROBABILITY, POLYGONS, MANIFEST = 'mask.tif', 'probability.tif', 'polygons.parquet', 'manifest.json'
# Points along each side of a raster or region by which its outline is brought into another CRS. Between them the sides
# of a scene of 100 km bend by less than a pixel, from degrees too.
SIDE_POINTS = 21
_SIDE = np.linspace(0, 1, SIDE_POINTS)[:-1]
_ZERO, _ONE = np.zeros_like(_SIDE), np.ones_like(_SIDE)
# Around the unit square, column and row (N, 2), from the upper left corner along the top.
BORDER = np.concatenate([np.stack(side, axis=1) for side in (
    (_SIDE, _ZERO), (_ONE, _SIDE), (1 - _SIDE, _ONE), (_ZERO, 1 - _SIDE))])
_NAME = re.compile(r'(\d+)_(\d+)$')


@dataclass(frozen=True)
class RegionGrid:
    """The pixels of a region, cut into square blocks from the upper left corner; the last ones may be smaller.

    Attributes:
        crs: Coordinate reference system as WKT; '' where there is none.
        transform: The six numbers of the affine map from (column, row) to coordinates, as ``rasterio.Affine`` has them.
        height: Rows of pixels.
        width: Columns of pixels.
        block: Side of a block in pixels.
    """
    crs: str
    transform: tuple[float, ...]
    height: int
    width: int
    block: int

    @property
    def rasterio_crs(self) -> CRS | None:
        """The CRS as rasterio has it."""
        return CRS.from_wkt(self.crs) if self.crs else None

    @property
    def affine(self) -> rasterio.Affine:
        """The map from (column, row) of the region to coordinates."""
        return rasterio.Affine(*self.transform)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return -(-self.height // self.block), -(-self.width // self.block)

    def window(self, row: int, column: int) -> Window:
        """The pixels of a block."""
        return Window(*(Span(index * self.block, min((index + 1) * self.block, size))
                        for index, size in ((row, self.height), (column, self.width))))

    def block_affine(self, row: int, column: int) -> rasterio.Affine:
        """The map from (column, row) of a block to coordinates."""
        return moved(self.affine, row * self.block, column * self.block)

    def save(self, out: Path) -> None:
        """Write ``grid.json``."""
        with whole_file(out / GRID) as part:
            part.write_text(json.dumps(asdict(self), indent=1), 'utf-8')

    @classmethod
    def load(cls, out: Path) -> 'RegionGrid | None':
        """Read ``grid.json``; None where there is none.

        Raises:
            ValueError: If the file is not one of ours.
        """
        path = out / GRID
        if not path.is_file():
            return None
        try:
            fields = json.loads(path.read_text('utf-8'))
            return cls(**dict(fields, transform=tuple(fields['transform'])))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f'{path}: is no grid of a region ({error}). Choose another --out, or delete it') from error


def moved(affine: rasterio.Affine, row: float, column: float) -> rasterio.Affine:
    """An affine map that begins in another pixel; affine 2 has no ``@`` and affine 3 warns of ``*``."""
    a, b, c, d, e, f = tuple(affine)[:6]
    return rasterio.Affine(a, b, a * column + b * row + c, d, e, d * column + e * row + f)


def block_name(row: int, column: int) -> str:
    """Name of the folder of a block."""
    return f'{row}_{column}'


def block_folder(out: Path, row: int, column: int) -> Path:
    """Path of the folder of a block."""
    return out / BLOCKS / block_name(row, column)


def finished_blocks(out: Path) -> list[tuple[int, int]]:
    """Row and column of the blocks that are there, from the upper left to the lower right."""
    folder = out / BLOCKS
    names = (_NAME.match(path.name) for path in (folder.iterdir() if folder.is_dir() else ()))
    found = [(int(name[1]), int(name[2])) for name in names if name]
    return sorted(block for block in found if (block_folder(out, *block) / MANIFEST).is_file())
