"""Rasters: opened with every defect named before anything is computed, and written as GeoTIFF."""
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional, Sequence

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

# GDAL's own default is 5 % of the machine's memory; a few rows of windows are all that is ever read twice.
GDAL_CACHE_BYTES = 64 << 20
BLOCK = 512  # the side of a block that COGs use as well


class BandChoice(NamedTuple):
    """Which bands are used.

    Attributes:
        indexes: Three band numbers, from 1.
        note: What the user should be told about the choice, or ''.
    """
    indexes: tuple[int, ...]
    note: str


def open_raster(path: Path) -> DatasetReader:
    """Open a raster and make sure that it can be read to its end.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no raster, is damaged or incomplete, or has bands that are no picture.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist or is no file')
    size = path.stat().st_size
    try:
        dataset = rasterio.open(path)
    except RasterioError as error:
        raise ValueError(f'{path}: cannot be read as a raster ({size:,} bytes): {error}. It is damaged, incomplete, or '
                         'not an image: replace or convert it') from error
    try:
        _check(dataset, path, size)
    except ValueError:
        dataset.close()
        raise
    return dataset


def _check(dataset: DatasetReader, path: Path, size: int) -> None:
    if dataset.count == 0:
        raise ValueError(f'{path}: has no bands of its own, but holds {len(dataset.subdatasets)} rasters; convert the '
                         'one that you mean to GeoTIFF first (gdal_translate)')
    if dataset.crs is None and dataset.gcps[0]:
        raise ValueError(f'{path}: is georeferenced by ground control points; warp it first (gdalwarp)')
    if ColorInterp.palette in dataset.colorinterp:
        raise ValueError(f'{path}: its values are numbers of a palette; expand it first (gdal_translate -expand rgb)')
    if any(dtype.startswith('complex') for dtype in dataset.dtypes):
        raise ValueError(f'{path}: has complex values; convert them to intensities first')
    needed = _needed_bytes(dataset)
    if needed > size:
        raise ValueError(f'{path}: is truncated: it has {size:,} bytes, but its blocks reach to {needed:,}. Copy or '
                         'download it again')


def _needed_bytes(dataset: DatasetReader) -> int:
    """Where the last block of a TIFF ends; 0 for other formats. A file cut short shows here and not hours later."""
    if dataset.driver != 'GTiff':
        return 0
    height, width = dataset.block_shapes[0]
    blocks = [f'{x}_{y}' for y in range(-(-dataset.height // height)) for x in range(-(-dataset.width // width))]
    bands = (1, ) if dataset.profile.get('interleave') == 'pixel' else dataset.indexes
    return max(_tag(dataset, f'BLOCK_OFFSET_{block}', band) + _tag(dataset, f'BLOCK_SIZE_{block}', band)
               for block in blocks for band in bands)


def _tag(dataset: DatasetReader, name: str, band: int) -> int:
    return int(dataset.get_tag_item(name, 'TIFF', bidx=band) or 0)  # a block that was never written has no place


def choose_bands(dataset: DatasetReader, wanted: Optional[Sequence[int]]) -> BandChoice:
    """Which three bands are red, green and blue.

    Args:
        dataset: The raster.
        wanted: Three band numbers, one for a grey image, or None: by the bands' colour names, else the first three.

    Raises:
        ValueError: If there are no such bands.
    """
    colours = {name: index for index, name in reversed(list(zip(dataset.indexes, dataset.colorinterp)))}
    usable = [index for index, name in zip(dataset.indexes, dataset.colorinterp) if name != ColorInterp.alpha]
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if wanted is not None:
        if len(wanted) not in (1, 3) or not set(wanted) <= set(usable):
            raise ValueError(f'{dataset.name} has the bands {usable}; expected three of them as red, green and blue, '
                             f'or one as grey, got {list(wanted)}')
        return BandChoice(tuple(wanted) * (3 // len(wanted)), '')
    if all(name in colours for name in rgb):
        return BandChoice(tuple(colours[name] for name in rgb), '')
    if len(usable) >= 3:
        note = '' if len(usable) == 3 else (f'none of its {len(usable)} bands is named red, green or blue; bands 1, 2 '
                                            'and 3 are taken for them (--bands chooses others)')
        return BandChoice(tuple(usable[:3]), note)
    if not usable:
        raise ValueError(f'{dataset.name}: has no band but an alpha channel')
    return BandChoice((usable[0], ) * 3, f'band {usable[0]} is used as grey')


def write_band(path: Path, values: np.ndarray, grid: Any, description: str, nodata: float, scale: float = 1.,
               predictor: int = 1, colormap: Optional[dict] = None) -> None:
    """Write one band as a compressed, tiled GeoTIFF.

    Args:
        path: Of the file.
        values: (H, W); may lie on the disk, it is read in strips.
        grid: Gives ``crs`` and ``transform``, either of which may be None.
        description: Of the band.
        nodata: The value of pixels without data.
        scale: What a value is multiplied by to get the quantity; stands in the header.
        predictor: Of the compression: 1 none, 2 differences of integers, 3 of floats.
        colormap: Colours (red, green, blue, alpha) by value, so that every viewer shows the band.

    Raises:
        OSError: If it cannot be written completely.
    """
    height, width = values.shape
    profile = dict(driver='GTiff', height=height, width=width, count=1, dtype=values.dtype.name, crs=grid.crs,
                   nodata=nodata, tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress='deflate',
                   predictor=predictor, BIGTIFF='IF_SAFER')
    if grid.transform is not None:
        profile['transform'] = grid.transform
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
