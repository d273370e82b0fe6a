"""Many rasters of two dates as one pair on the grid of the region, for the windows of prediction."""
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterWindow

from ..inference.pairs import ReadOptions, Span, Window
from ..inference.raster_pair import RasterImage, RasterPair, naming_files
from ..io.radiometry import Stretch
from ..io.rasters import GDAL_CACHE_BYTES
from .clouds import CloudMask, CloudOptions
from .grid import RegionGrid, moved

# GDAL's answer to a web server that is busy or restarts; the user's own settings go before.
WEB_SETTINGS = dict(GDAL_HTTP_MAX_RETRY='3', GDAL_HTTP_RETRY_DELAY='1')
# Rasters of one date that are open at a time, and of these on a moved grid: those of a row of windows are fewer, and
# systems let a process open 256 files (macOS) or 1,024. One takes up to four, with its alpha band and its cloud mask.
MOST_OPEN = 64
NO_CLOUDS = (None, None)


class PlacedRaster(NamedTuple):
    """A raster of one date on the grid of the region.

    Attributes:
        path: Path of the file, or GDAL's name for one elsewhere.
        window: The pixels of the grid that it may cover.
        direct: Whether its pixels are the grid's, so that they are read as they are; else it is warped.
        cloud: File of its cloud mask; '' if there is none, or if the mask is one of its bands.
    """
    path: str
    window: Window
    direct: bool
    cloud: str = ''


class GridTarget(NamedTuple):
    """The grid of the region as :meth:`RasterImage.warp_to` knows grids, which are those of files."""
    name: str
    crs: CRS
    transform: rasterio.Affine
    height: int
    width: int

    @classmethod
    def of(cls, grid: RegionGrid, dx: float = 0., dy: float = 0.) -> 'GridTarget':
        """The whole region, moved to the right and down by some pixels."""
        return cls('the region', grid.rasterio_crs, moved(grid.affine, dy, dx), grid.height, grid.width)


class _View(NamedTuple):
    """A raster as it is read on the grid of the region, which may be moved.

    Attributes:
        image: The raster itself.
        clouds: The cloud mask, or None.
        origin: Row and column of the grid at which its pixels begin.
    """
    image: RasterImage
    clouds: CloudMask | None
    origin: tuple[int, int]


class _OpenRaster(NamedTuple):
    """A raster that is open: the file, how it is read where it is not moved, and what closes both."""
    image: RasterImage
    view: _View
    stack: ExitStack


class MosaicImage:
    """The rasters of one date; where several have data, the first of them counts.

    Args:
        label: 'A' or 'B'.
        rasters: The rasters in order of priority. All of them are opened, but only :data:`MOST_OPEN` stay open.
        grid: Grid of the region.
        bands: Band numbers that the user wants, or None.
        nodata: A value that takes the place of the files' nodata values, or None.
        stack: Closes what is opened.
        clouds: Band and values of the cloud masks; None if there are none. Pixels that they mark are not used.
        move: Gives, for a window, how far to the right and down, in pixels, the ground lies that is read for it;
            None if nothing is moved.

    Raises:
        FileNotFoundError, ValueError: If one cannot be read.
    """

    def __init__(self, label: str, rasters: Sequence[PlacedRaster], grid: RegionGrid, bands: Sequence[int] | None,
                 nodata: float | None, stack: ExitStack, clouds: CloudOptions | None = None,
                 move: Callable[[Window], tuple[float, float]] | None = None) -> None:
        self.label, self._rasters, self._grid, self._clouds, self._move = label, list(rasters), grid, clouds, move
        self.notes: list[str] = []
        self._bands, self._nodata = bands, nodata
        self._open: OrderedDict[int, _OpenRaster] = OrderedDict()
        self._moved_views: OrderedDict[tuple[int, float, float], tuple[_View, ExitStack]] = OrderedDict()
        stack.callback(self._close)
        for number in reversed(range(len(rasters))):  # what is wrong with one is known before any is read
            first = self._opened(number).image
        # Of the values that :meth:`read` gives: their type, and their scale and offset in the header.
        self.dtype, self.scaling = first.dtype, first.scaling

    def _opened(self, number: int) -> _OpenRaster:
        """A raster as it is, opened again where it was closed for others."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        path = openable(self._rasters[number].path)
        cloud_band = None if self._clouds is None else self._clouds.image_band
        with ExitStack() as stack:
            with naming_files(path):
                image = RasterImage(self.label, path, self._bands, self._nodata, stack, examine=False,
                                    cloud_band=cloud_band)
            view = self._open_view(number, image, 0., 0., stack)
            self._open[number] = _OpenRaster(image, view, stack.pop_all())
        if len(self._open) > MOST_OPEN:
            self._close_raster(next(iter(self._open)))
        return self._open[number]

    def _open_view(self, number: int, image: RasterImage, dx: float, dy: float, stack: ExitStack) -> _View:
        raster = self._rasters[number]
        rows, columns = raster.window
        is_direct = raster.direct and dx == dy == 0
        target = GridTarget.of(self._grid, dx, dy)
        clouds = None
        with naming_files(image.path):
            if not is_direct:
                image = copy(image)
                image.warp_to(target, stack)
            if self._clouds is not None:
                own = is_direct and not raster.cloud
                clouds = CloudMask(openable(raster.cloud or raster.path), self._clouds, None if own else target, stack)
        return _View(image, clouds, (rows.start, columns.start) if is_direct else (0, 0))

    def _view(self, number: int, dx: float, dy: float) -> _View:
        raster = self._opened(number)
        if dx == dy == 0:
            return raster.view
        key = number, dx, dy
        if key in self._moved_views:
            self._moved_views.move_to_end(key)
            return self._moved_views[key][0]
        with ExitStack() as stack:
            view = self._open_view(number, raster.image, dx, dy, stack)
            self._moved_views[key] = view, stack.pop_all()
        if len(self._moved_views) > MOST_OPEN:
            self._moved_views.popitem(last=False)[1][1].close()
        return view

    def _close_raster(self, number: int) -> None:
        for key in [key for key in self._moved_views if key[0] == number]:  # they read from it
            self._moved_views.pop(key)[1].close()
        self._open.pop(number).stack.close()

    def _close(self) -> None:
        for number in list(self._open):
            self._close_raster(number)

    def read(self, window: RasterWindow, factor: int, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
        """Values (h, w, 3) as they are, and where they are data (h, w); see :meth:`RasterImage.read`.

        Raises:
            OSError: If a file is damaged there.
        """
        top, left = int(window.row_off), int(window.col_off)
        bottom, right = top + int(window.height), left + int(window.width)
        shape = -(-(bottom - top) // factor), -(-(right - left) // factor)
        values, valid = np.zeros((*shape, 3), self.dtype), np.zeros(shape, bool)
        dx, dy = (0., 0.) if self._move is None else self._move(Window(Span(top, bottom), Span(left, right)))
        for number, raster in enumerate(self._rasters):
            rows, columns = raster.window
            # A part begins with a whole small pixel, so that it fits among the others.
            row = top + -(-max(math.floor(rows.start - dy) - top, 0) // factor) * factor
            column = left + -(-max(math.floor(columns.start - dx) - left, 0) // factor) * factor
            height = min(math.ceil(rows.stop - dy), bottom) - row
            width = min(math.ceil(columns.stop - dx), right) - column
            if height <= 0 or width <= 0:
                continue
            place = tuple(slice((start - origin) // factor, (start - origin) // factor + -(-size // factor))
                          for start, origin, size in ((row, top, height), (column, left, width)))
            if valid[place].all():
                continue
            view = self._view(number, dx, dy)
            part = RasterWindow(column - view.origin[1], row - view.origin[0], width, height)
            new_values, new = view.image.read(part, factor, resampling)
            if view.clouds is not None:
                new &= ~view.clouds.read(part, new.shape)
            new &= ~valid[place]
            values[place][new] = new_values[new]
            valid[place] |= new
        return values, valid


def openable(path: str) -> Path | str:
    """A path; of a raster elsewhere, GDAL's name for it."""
    return path if path.startswith('/vsi') else Path(path)


class MosaicPair(RasterPair):
    """Two mosaics on the grid of the region.

    Args:
        grid: The grid.
        a: Rasters of the earlier date.
        b: Rasters of the later date.
        options: How they are read.
        stretches: Stretches of A and B for the whole region; None to find them from these rasters.
        clouds: Cloud masks of A and of B, see :class:`MosaicImage`.
        move: Move of B, see :class:`MosaicImage`.

    Raises:
        FileNotFoundError, ValueError: If a raster cannot be read.
    """

    def __init__(self, grid: RegionGrid, a: Sequence[PlacedRaster], b: Sequence[PlacedRaster], options: ReadOptions,
                 stretches: Sequence[Stretch | None] | None = None,
                 clouds: Sequence[CloudOptions | None] = NO_CLOUDS,
                 move: Callable[[Window], tuple[float, float]] | None = None) -> None:
        self.name = 'region'
        self.height, self.width = grid.height, grid.width
        self.crs, self.transform = grid.rasterio_crs, grid.affine
        self.notes = []
        self.origin = dict(a=[raster.path for raster in a], b=[raster.path for raster in b])
        with ExitStack() as stack:
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
            for key, value in WEB_SETTINGS.items():  # an Env would not hold for the thread that reads
                os.environ.setdefault(key, value)
            self._images = (MosaicImage('A', a, grid, options.bands, options.nodata, stack, clouds[0]),
                            MosaicImage('B', b, grid, options.bands_b or options.bands, options.nodata, stack,
                                        clouds[1], move))
            self._stretches = self._find_stretches(options) if stretches is None else list(stretches)
            self._stack = stack.pop_all()

    def __enter__(self) -> 'MosaicPair':
        return self

    @property
    def stretches(self) -> list[Stretch | None]:
        """How the values of A and B become 8 bits; None where they are used as they are."""
        return self._stretches
