"""A pair of rasters: B is brought onto A's grid, and both are read window by window."""
from contextlib import ExitStack
from pathlib import Path
from typing import Union

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from ..io.grids import coverage, describe_difference, same_grid
from ..io.radiometry import check_value_range, find_stretch
from ..io.rasters import GDAL_CACHE_BYTES, choose_bands, open_raster
from .pairs import PairSource, PairTile, ReadOptions, Window, file_origin

# The percentiles of a stretch are taken from so many pixels of the longer side: a million of them are exact enough.
SAMPLE_SIDE = 1024


class RasterPair(PairSource):
    """Two rasters on the grid of A.

    B is warped onto A's grid (bilinear) where CRS, pixel size or origin differ, window by window while it is read.
    A pixel has data where, in both images, alpha is not 0, not all bands have the nodata value, the image's own mask
    does not exclude it, and no band is NaN.

    Args:
        path_a: The earlier image. Its grid is that of the result.
        path_b: The later image.
        options: See :class:`~.pairs.ReadOptions`.

    Raises:
        FileNotFoundError: If one does not exist.
        ValueError: If one cannot be read, or they cannot be compared; the message says why.
    """

    is_raster = True

    def __init__(self, path_a: Path, path_b: Path, options: ReadOptions) -> None:
        check_value_range(options.value_range)
        with ExitStack() as stack:
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
            self._prepare(path_a, path_b, options, stack)
            self._stack = stack.pop_all()

    def _prepare(self, path_a: Path, path_b: Path, options: ReadOptions, stack: ExitStack) -> None:
        self._paths = path_a, path_b
        a, b = (stack.enter_context(open_raster(path)) for path in self._paths)
        self.name = path_a.stem
        self.origin = dict(a=file_origin(path_a), b=file_origin(path_b))
        self.height, self.width, self.crs = a.height, a.width, a.crs
        self.transform = None if a.crs is None and a.transform.is_identity else a.transform
        self.notes = []
        choices = choose_bands(a, options.bands), choose_bands(b, options.bands_b or options.bands)
        self.notes += [f'{label}: {choice.note}' for label, choice in zip('AB', choices) if choice.note]
        self._images = a, self._onto_grid_of(a, b, stack)
        self._indexes = [list(choice.indexes) for choice in choices]
        self._find_stretches(options)

    def _onto_grid_of(self, a: DatasetReader, b: DatasetReader, stack: ExitStack) -> Union[DatasetReader, WarpedVRT]:
        """B itself where it has A's grid, else B warped onto it."""
        if same_grid(a, b):
            return b
        self.notes.append(describe_difference(a, b, coverage(a, b)))
        return stack.enter_context(
            WarpedVRT(
                b, crs=a.crs, transform=a.transform, height=a.height, width=a.width, resampling=Resampling.bilinear,
                add_alpha=ColorInterp.alpha not in b.colorinterp))

    def _find_stretches(self, options: ReadOptions) -> None:
        self._stretches: list = [None, None]
        if options.value_range is None and all(self._dtype(i) == 'uint8' for i in (0, 1)):
            return
        factor = -(-max(self.height, self.width) // SAMPLE_SIDE)
        whole = RasterWindow(0, 0, self.width, self.height)
        samples = [self._read(i, whole, factor, Resampling.nearest) for i in (0, 1)]
        valid = samples[0][1] & samples[1][1]
        for i, (values, _) in enumerate(samples):
            self._stretches[i] = find_stretch(values, valid, options.value_range)
            if self._stretches[i] is not None:
                self.notes.append(f'{"AB"[i]}: {self._dtype(i)} values are stretched to 8 bits: {self._stretches[i]}')

    def _dtype(self, i: int) -> str:
        return self._images[i].dtypes[self._indexes[i][0] - 1]

    def _read(self, i: int, window: RasterWindow, factor: int, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
        """Values (h, w, 3) as they are, and where they are data (h, w)."""
        image, indexes = self._images[i], self._indexes[i]
        shape = -(-int(window.height) // factor), -(-int(window.width) // factor)
        try:
            values = image.read(indexes, window=window, out_shape=(3, *shape), resampling=resampling)
            if ColorInterp.alpha in image.colorinterp:
                # Not by read_masks: of float values GDAL does not recognise the alpha band as a mask.
                alpha = image.colorinterp.index(ColorInterp.alpha) + 1
                valid = image.read(alpha, window=window, out_shape=shape) > 0
            else:
                valid = image.read_masks(indexes, window=window, out_shape=(3, *shape)).any(axis=0)
        except RasterioError as error:
            stop = window.row_off + window.height
            raise OSError(f'{self._paths[i]}: reading rows {window.row_off} to {stop} failed: '
                          f'{error.__cause__ or error}. The file is damaged: replace it') from error
        values = values.transpose(1, 2, 0)
        if values.dtype.kind == 'f':
            valid = valid & np.isfinite(values).all(axis=2)
        return values, valid

    def _tile(self, window: RasterWindow, factor: int = 1, resampling: Resampling = Resampling.nearest) -> PairTile:
        parts = []
        for i, stretch in enumerate(self._stretches):
            values, valid = self._read(i, window, factor, resampling)
            parts.append((values if stretch is None else stretch(values), valid))
        return PairTile(np.concatenate([part[0] for part in parts], axis=2), parts[0][1] & parts[1][1])

    def read(self, window: Window) -> PairTile:
        """One window at full resolution."""
        height, width = window.shape
        return self._tile(RasterWindow(window.columns.start, window.rows.start, width, height))

    def thumbnail(self, factor: int) -> PairTile:
        """The whole pair, smaller by a whole factor."""
        return self._tile(RasterWindow(0, 0, self.width, self.height), factor, Resampling.average)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()
