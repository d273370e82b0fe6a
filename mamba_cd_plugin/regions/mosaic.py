"""Many rasters of two dates as one pair on the grid of the region, for the windows of prediction."""
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterWindow

from ..inference.pairs import ReadOptions, Window
from ..inference.raster_pair import RasterImage, RasterPair, naming_files
from ..io.radiometry import Stretch
from ..io.rasters import GDAL_CACHE_BYTES
from .grid import RegionGrid

# GDAL's answer to a web server that is busy or restarts; the user's own settings go before.
WEB_SETTINGS = dict(GDAL_HTTP_MAX_RETRY='3', GDAL_HTTP_RETRY_DELAY='1')


class PlacedRaster(NamedTuple):
    """A raster of one date on the grid of the region.

    Attributes:
        path: Path of the file, or GDAL's name for one elsewhere.
        window: The pixels of the grid that it may cover.
        direct: Whether its pixels are the grid's, so that they are read as they are; else it is warped.
    """
    path: str
    window: Window
    direct: bool


class GridTarget(NamedTuple):
    """The grid of the region as :meth:`RasterImage.warp_to` knows grids, which are those of files."""
    name: str
    crs: CRS
    transform: rasterio.Affine
    height: int
    width: int

    @classmethod
    def of(cls, grid: RegionGrid) -> 'GridTarget':
        """The whole region."""
        return cls('the region', grid.rasterio_crs, grid.affine, grid.height, grid.width)


class MosaicImage:
    """The rasters of one date; where several have data, the first of them counts.

    Args:
        label: 'A' or 'B'.
        rasters: In the order in which they count; all of them are opened.
        grid: Of the region.
        bands: Band numbers that the user wants, or None.
        nodata: A value that takes the place of the files' nodata values, or None.
        stack: Closes what is opened.

    Raises:
        FileNotFoundError, ValueError: If one cannot be read.
    """

    def __init__(self, label: str, rasters: Sequence[PlacedRaster], grid: RegionGrid, bands: Sequence[int] | None,
                 nodata: float | None, stack: ExitStack) -> None:
        self.label, self._rasters = label, list(rasters)
        self.notes: list[str] = []
        target = GridTarget.of(grid)
        self._images: list[RasterImage] = []
        for raster in rasters:
            path = raster.path if raster.path.startswith('/vsi') else Path(raster.path)
            with naming_files(path):
                image = RasterImage(label, path, bands, nodata, stack, examine=False)
                if not raster.direct:
                    image.warp_to(target, stack)
            self._images.append(image)

    @property
    def dtype(self) -> str:
        """Of the values that :meth:`read` gives."""
        return self._images[0].dtype

    @property
    def scaling(self) -> tuple[float, float]:
        """Scale and offset of the values in the header."""
        return self._images[0].scaling

    def read(self, window: RasterWindow, factor: int, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
        """Values (h, w, 3) as they are, and where they are data (h, w); see :meth:`RasterImage.read`.

        Raises:
            OSError: If a file is damaged there.
        """
        top, left = int(window.row_off), int(window.col_off)
        bottom, right = top + int(window.height), left + int(window.width)
        shape = -(-(bottom - top) // factor), -(-(right - left) // factor)
        values, valid = np.zeros((*shape, 3), self.dtype), np.zeros(shape, bool)
        for raster, image in zip(self._rasters, self._images):
            rows, columns = raster.window
            # A part begins with a whole small pixel, so that it fits among the others.
            row = top + -(-max(rows.start - top, 0) // factor) * factor
            column = left + -(-max(columns.start - left, 0) // factor) * factor
            height, width = min(rows.stop, bottom) - row, min(columns.stop, right) - column
            if height <= 0 or width <= 0:
                continue
            place = tuple(slice((start - origin) // factor, (start - origin) // factor + -(-size // factor))
                          for start, origin, size in ((row, top, height), (column, left, width)))
            if valid[place].all():
                continue
            moved = (rows.start, columns.start) if raster.direct else (0, 0)
            part = RasterWindow(column - moved[1], row - moved[0], width, height)
            new_values, new_valid = image.read(part, factor, resampling)
            new = new_valid & ~valid[place]
            values[place][new] = new_values[new]
            valid[place] |= new
        return values, valid


class MosaicPair(RasterPair):
    """Two mosaics on the grid of the region.

    Args:
        grid: The grid.
        a: Rasters of the earlier date.
        b: Rasters of the later date.
        options: How they are read.
        stretches: Of A and B, where they are known already; those of the region, and not of what is read here.

    Raises:
        FileNotFoundError, ValueError: If a raster cannot be read.
    """

    def __init__(self, grid: RegionGrid, a: Sequence[PlacedRaster], b: Sequence[PlacedRaster], options: ReadOptions,
                 stretches: Sequence[Stretch | None] | None = None) -> None:
        self.name = 'region'
        self.height, self.width = grid.height, grid.width
        self.crs, self.transform = grid.rasterio_crs, grid.affine
        self.notes = []
        self.origin = dict(a=[raster.path for raster in a], b=[raster.path for raster in b])
        with ExitStack() as stack:
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
            for key, value in WEB_SETTINGS.items():  # an Env would not hold for the thread that reads
                os.environ.setdefault(key, value)
            self._images = (MosaicImage('A', a, grid, options.bands, options.nodata, stack),
                            MosaicImage('B', b, grid, options.bands_b or options.bands, options.nodata, stack))
            self._stretches = self._find_stretches(options) if stretches is None else list(stretches)
            self._stack = stack.pop_all()

    def __enter__(self) -> 'MosaicPair':
        return self

    @property
    def stretches(self) -> list[Stretch | None]:
        """How the values of A and B become 8 bits; None where they are used as they are."""
        return self._stretches
