"""Cloud masks of the rasters of a region: where they come from, and which pixels they mark."""
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from ..io.rasters import RASTER_ERRORS, open_raster


class CloudOptions(NamedTuple):
    """Where the cloud masks of a date are.

    Attributes:
        band: Number of the band, from 1.
        values: Values that mark a pixel as cloudy; empty for all values but 0.
        asset: Name of the STAC asset that holds the mask; None if the mask is a band of the image itself.
    """
    band: int
    values: tuple[float, ...] = ()
    asset: str | None = None

    @property
    def image_band(self) -> int | None:
        """Number of the band of the image that is the mask; None if an asset holds it."""
        return self.band if self.asset is None else None


def cloud_options(band: int | None, band_b: int | None, asset: str | None,
                  values: Sequence[float] | None) -> tuple[CloudOptions | None, CloudOptions | None]:
    """The cloud options of both dates from the arguments of the command; None for a date without a mask.

    Args:
        band: Number of the mask band in both dates, or in A only; None for no mask, or for an asset's first band.
        band_b: Number of the mask band in B, if it differs; 0 if B has no mask.
        asset: See :class:`CloudOptions`.
        values: See :class:`CloudOptions`.

    Raises:
        ValueError: If they do not fit together.
    """
    for option, number, least in (('--cloud-band', band, 1), ('--cloud-band-b', band_b, 0)):
        if number is not None and number < least:
            raise ValueError(f'{option}: expected the number of a band, from {least}, got {number}')
    if band is None and asset is None:
        if band_b or values is not None:
            raise ValueError(f'{"--cloud-values" if values is not None else "--cloud-band-b"}: expected --cloud-band '
                             'or --cloud-asset with it, which say where the cloud mask is')
        return None, None
    if asset is not None and values is None:
        raise ValueError(f'--cloud-asset {asset}: expected --cloud-values with it, the values that mark a pixel, such '
                         'as 3 8 9 10 11 for shadow, clouds and snow in the SCL of Sentinel-2')
    a = CloudOptions(band or 1, tuple(map(float, values or ())), asset)
    if band_b is None:
        return a, a
    return a, a._replace(band=band_b) if band_b else None


class CloudMask:
    """The cloud mask of one raster.

    Args:
        path: The file that holds it.
        options: Band and values.
        target: The grid on which it is read, with the attributes of :class:`~.mosaic.GridTarget`; by the nearest pixel.
            None: as it is.
        stack: Closes what is opened.

    Raises:
        FileNotFoundError, ValueError: If it cannot be read.
    """

    def __init__(self, path: Path | str, options: CloudOptions, target: Any, stack: ExitStack) -> None:
        self.path, self.options, self._is_warped = path, options, target is not None
        stack.enter_context(open_raster(path))  # says what is wrong with it
        # Of a copy of the header: 0 may be the nodata value and mean clear sky, and GDAL calls a fourth band alpha.
        header = stack.enter_context(MemoryFile(ext='.vrt'))
        copy_raster(str(path.resolve()) if isinstance(path, Path) else path, header.name, driver='VRT')
        with rasterio.open(header.name, 'r+') as file:
            file.colorinterp = [ColorInterp.undefined] * file.count
            file.nodata = None
        self._dataset = stack.enter_context(rasterio.open(header.name))
        if target is not None:
            self._dataset = stack.enter_context(WarpedVRT(
                self._dataset, crs=target.crs, transform=target.transform, height=target.height, width=target.width,
                resampling=Resampling.nearest, add_alpha=True))

    def read(self, window: RasterWindow, shape: tuple[int, int]) -> np.ndarray:
        """Whether each pixel of a window is marked, (h, w) bool; beyond the mask none is.

        Raises:
            OSError: If the file is damaged there.
        """
        try:
            values = self._dataset.read(self.options.band, window=window, out_shape=shape)
            marked = np.isin(values, self.options.values) if self.options.values else values != 0
            if self._is_warped:
                marked &= self._dataset.read(self._dataset.count, window=window, out_shape=shape) > 0
        except RASTER_ERRORS as error:
            raise OSError(f'{self.path}: reading the cloud mask failed: {error.__cause__ or error}. The file is '
                          'damaged or missing: replace it') from error
        return marked
