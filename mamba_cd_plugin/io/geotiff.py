"""Writing a result as a compressed, tiled GeoTIFF on the grid of A."""
from pathlib import Path
from typing import Iterator

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ..inference.pair_source import PairSource
from ..inference.strips import NODATA, PROBABILITY_STEPS

BLOCK = 512  # the side of a block that COGs use as well
# Vermillion, as in the pictures of this package; unchanged ground is black and missing data transparent.
COLORMAP = {0: (0, 0, 0, 255), 1: (213, 94, 0, 255), NODATA: (0, 0, 0, 0)}


def write_mask(path: Path, mask: np.ndarray, source: PairSource) -> None:
    """Write a mask of 0, 1 and nodata, with a colour table so that every viewer shows it.

    Args:
        path: Of the file.
        mask: uint8 (H, W); may lie on the disk, it is read in strips.
        source: Gives CRS and transform.

    Raises:
        OSError: If it cannot be written completely.
    """
    _write(path, mask, source, 'changed: 0 no, 1 yes', nodata=NODATA, colormap=COLORMAP)


def write_probability(path: Path, probability: np.ndarray, source: PairSource) -> None:
    """Write probabilities: float32 as they are (nodata NaN), or uint8 with the scale in the header.

    Args:
        path: Of the file.
        probability: (H, W), float32 or as :func:`~.strips.quantize` gives it; may lie on the disk.
        source: Gives CRS and transform.

    Raises:
        OSError: If it cannot be written completely.
    """
    if probability.dtype == np.uint8:
        options = dict(nodata=NODATA, scale=1 / PROBABILITY_STEPS, predictor=2)
    else:
        options = dict(nodata=float('nan'), predictor=3)
    _write(path, probability, source, 'probability of change', **options)


def _write(path: Path, values: np.ndarray, source: PairSource, description: str, nodata: float, scale: float = 1.,
           predictor: int = 1, colormap: object = None) -> None:
    height, width = values.shape
    profile = dict(driver='GTiff', height=height, width=width, count=1, dtype=values.dtype.name, crs=source.crs,
                   nodata=nodata, tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress='deflate',
                   predictor=predictor, BIGTIFF='IF_SAFER')
    if source.transform is not None:
        profile['transform'] = source.transform
    try:
        with rasterio.open(path, 'w', **profile) as file:
            file.set_band_description(1, description)
            if scale != 1:
                file.scales = (scale, )
            if colormap is not None:
                file.write_colormap(1, colormap)
            for top, rows in _strips(values):
                file.write(rows, 1, window=Window(0, top, width, len(rows)))
        # GDAL does not report a full disk when a file is closed, so the file itself is asked.
        with rasterio.open(path) as file:
            complete = all(np.array_equal(file.read(1, window=Window(0, top, width, len(rows))), rows, equal_nan=True)
                           for top, rows in _strips(values))
    except RasterioError as error:
        raise OSError(f'{path}: could not be written ({error}). Is the disk full?') from error
    if not complete:
        raise OSError(f'{path}: was not written completely. Is the disk full?')


def _strips(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Whole rows of blocks, so that each block is compressed once."""
    for top in range(0, len(values), BLOCK):
        yield top, np.array(values[top:top + BLOCK])
