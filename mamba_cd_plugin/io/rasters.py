"""Rasters: opened, with every defect reported before anything is computed, and written as GeoTIFF."""
import html
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ..private_names import gdal_error
from .files import not_written
from .formats import TURNS, check_tiff
from .radiometry import is_alpha

# The fewest bytes that say where a block of a TIFF lies and how long it is: two numbers of 16 bits.
BLOCK_ENTRY = 4
# What reading and warping raise; GDAL's own errors pass through rasterio in places.
RASTER_ERRORS = (RasterioError, gdal_error())
# GDAL's own default is 5 % of the machine's memory; a few rows of windows are all that is ever read twice.
GDAL_CACHE_BYTES = 64 << 20
# What is said about a raster is taken from so many pixels of its longer side: a million of them are exact enough.
SAMPLE_SIDE = 1024
BLOCK = 512  # the side of a block that COGs use as well
# Words in a band's description that name another colour than the one they contain.
OTHER_COLOURS = re.compile(r'edge|infra|coastal|yellow|swir|nir', re.IGNORECASE)
RGB = ('red', 'green', 'blue')
# Micrometres: the middles of Landsat's and Sentinel-2's bands, and how far from them a band may lie.
WAVELENGTHS = dict(red=0.66, green=0.56, blue=0.48)
NEAR_WAVELENGTH = 0.04


class BandChoice(NamedTuple):
    """Which bands are used.

    Attributes:
        indexes: Three band numbers, from 1.
        note: Message for the user about the choice, or ''.
    """
    indexes: tuple[int, ...]
    note: str


def open_raster(path: Path | str) -> DatasetReader:
    """Open a raster and make sure that it can be read to its end.

    Args:
        path: Path of the file; or, as a string, GDAL's name of a remote one (``/vsicurl/https://...``), which is
            not checked for completeness.

    Raises:
        FileNotFoundError: If it, or a file to which it refers, does not exist.
        ValueError: If it is no raster, is damaged or incomplete, or has bands that are no picture.
    """
    if isinstance(path, str) and path.startswith('/vsi'):
        return _open_elsewhere(path)
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist or is no file')
    if path.suffix.lower() == '.vrt':
        _check_sources(path)
    check_tiff(path)
    size = path.stat().st_size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)  # it is said in better words where it matters
            dataset = rasterio.open(path)
    except RASTER_ERRORS as error:
        raise ValueError(f'{path}: cannot be read as a raster ({size:,} bytes): {error}. It is damaged, incomplete, or '
                         'not an image: replace or convert it') from error
    return _checked(dataset, path, size)


def _open_elsewhere(name: str) -> DatasetReader:
    try:
        # Listing the folder of a file on a web server is one more request at best, and an error at worst.
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR'):
            dataset = rasterio.open(name)
    except RASTER_ERRORS as error:
        raise ValueError(f'{name}: cannot be read as a raster: {error}. Check the address, and that this machine may '
                         'read it') from error
    return _checked(dataset, name, None)


def _checked(dataset: DatasetReader, path: Path | str, size: int | None) -> DatasetReader:
    try:
        _check(dataset, path, size)
    except ValueError:
        dataset.close()
        raise
    return dataset


def _check_sources(path: Path) -> None:
    """Make sure that the files exist to which a virtual raster refers: without them it looks whole until it is read."""
    text = path.read_text('utf-8', errors='replace')
    for attributes, name in re.findall(r'<Source(?:Filename|Dataset)([^>]*)>([^<]+)<', text):
        source = Path(html.unescape(name))
        if 'relativeToVRT="1"' in attributes:
            source = path.parent / source
        if source.is_file():
            if source.suffix.lower() == '.vrt' and source.resolve() != path.resolve():
                _check_sources(source)
        elif not re.search(r':|^/vsi|^<', html.unescape(name)):  # those are GDAL's to find
            raise FileNotFoundError(f'{path}: is a virtual raster that refers to {source}, which does not exist. Copy '
                                    'that file too, or merge both into one where it is: gdal_translate '
                                    f'{path.name} {path.stem}.tif')


def _check(dataset: DatasetReader, path: Path | str, size: int | None) -> None:
    if dataset.count == 0:
        raise ValueError(f'{path}: has no bands of its own, but holds {len(dataset.subdatasets)} rasters; convert the '
                         'one that you mean to GeoTIFF first (gdal_translate)')
    if any(dtype.startswith('complex') for dtype in dataset.dtypes):
        raise ValueError(f'{path}: has complex values; convert them to intensities first')
    if dataset.tags(ns='IMAGE_STRUCTURE').get('MINISWHITE') == 'YES':
        raise ValueError(f'{path}: its smallest value means white (MINISWHITE), so it would be read as a negative. '
                         f'Invert it first: gdal_translate -scale 0 255 255 0 -co PHOTOMETRIC=MINISBLACK {path} '
                         f'{Path(path).stem}_inverted.tif')
    orientation = dataset.tags().get('EXIF_Orientation', '1')  # of a JPEG, which GDAL gives as it is stored
    if orientation.isdigit() and int(orientation) in TURNS:
        raise ValueError(f'{path}: its EXIF orientation ({orientation}) says that it is stored turned, and something '
                         'else where it lies on the map or beside another raster. Turn it upright first: '
                         f'magick {path} -auto-orient {Path(path).stem}_upright{Path(path).suffix}')
    if size is None:
        return
    needed = _needed_bytes(dataset, path, size)
    if needed > size:
        raise ValueError(f'{path}: is truncated: it has {size:,} bytes, but its blocks reach to {needed:,}. Copy or '
                         'download it again')


def _needed_bytes(dataset: DatasetReader, path: Path | str, size: int) -> int:
    """Where the last block of a TIFF ends; 0 for other formats. A file cut short shows here and not hours later.

    Raises:
        ValueError: If there are more blocks than the file has room to name, which it may take minutes to count.
    """
    if dataset.driver != 'GTiff':
        return 0
    height, width = dataset.block_shapes[0]
    down, across = -(-dataset.height // height), -(-dataset.width // width)
    bands = (1, ) if dataset.profile.get('interleave') == 'pixel' else dataset.indexes
    if BLOCK_ENTRY * down * across * len(bands) > size:
        raise ValueError(f'{path}: its header promises {dataset.width:,} x {dataset.height:,} pixels, whose blocks its '
                         f'{size:,} bytes cannot even list. It is damaged: copy or download it again')
    return max(_tag(dataset, f'BLOCK_OFFSET_{x}_{y}', band) + _tag(dataset, f'BLOCK_SIZE_{x}_{y}', band)
               for y in range(down) for x in range(across) for band in bands)


def _tag(dataset: DatasetReader, name: str, band: int) -> int:
    return int(dataset.get_tag_item(name, 'TIFF', bidx=band) or 0)  # a block that was never written has no place


def alpha_band(dataset: DatasetReader) -> int:
    """The number of the band that says where a raster is transparent; 0 where there is none.

    GDAL calls the fourth band of an 8-bit file alpha by itself, and in many files it is near infrared: one that holds
    many values is no mask.
    """
    if ColorInterp.alpha not in dataset.colorinterp:
        return 0
    number = dataset.colorinterp.index(ColorInterp.alpha) + 1
    factor = -(-max(dataset.shape) // SAMPLE_SIDE)
    sample = dataset.read(number, out_shape=tuple(-(-size // factor) for size in dataset.shape))
    return number if is_alpha(sample) else 0


def choose_bands(dataset: DatasetReader, wanted: Sequence[int] | None) -> BandChoice:
    """Which three bands are red, green and blue.

    What somebody wrote into the header comes first, the bands' descriptions; then their colour interpretation, which
    GDAL also fills in by itself; then their order.

    Args:
        dataset: The raster.
        wanted: Three band numbers, one for a grey image, or None: by the header.

    Raises:
        ValueError: If there are no such bands.
    """
    indexes, colours = list(dataset.indexes), dataset.colorinterp
    if wanted is not None:
        if len(wanted) not in (1, 3) or not set(wanted) <= set(indexes):
            raise ValueError(f'{dataset.name} has the bands {indexes}; expected three of them as red, green and blue, '
                             f'or one as grey, got {list(wanted)}')
        return BandChoice(tuple(wanted) * (3 // len(wanted)), '')
    described = [described_band(dataset.descriptions, colour) for colour in RGB]
    named = [colours.index(ColorInterp[colour]) + 1 if ColorInterp[colour] in colours else None for colour in RGB]
    if None not in described:
        usual = described == [1, 2, 3] and (None in named or named == described)
        return BandChoice(tuple(described), '' if usual else (
            f'bands {_listed(described)} are red, green and blue by their descriptions'
            + ('' if None in named or named == described else
               f'; by their colour interpretation bands {_listed(named)} would be (--bands {_numbers(named)})')))
    if None not in named:
        return BandChoice(tuple(named), '')
    measured = [_band_of_wavelength(dataset, colour) for colour in RGB]
    if None not in measured:
        return BandChoice(tuple(measured), f'bands {_listed(measured)} are red, green and blue by their wavelengths')
    usable = [index for index, colour in zip(indexes, colours) if colour != ColorInterp.alpha]
    if len(usable) >= 3:
        called = [text for text in dataset.descriptions if text]
        note = '' if len(usable) == 3 and not called else (
            f'none of its {len(usable)} bands is named red, green or blue; bands {_listed(usable)} are taken for them '
            f'(--bands chooses others)' + (f'. Their descriptions: {", ".join(called[:12])}' if called else ''))
        return BandChoice(tuple(usable[:3]), note)
    if not usable:
        raise ValueError(f'{dataset.name}: has no band but an alpha channel')
    grey = '' if len(usable) == 1 else f' of {len(usable)} (--bands chooses another)'
    return BandChoice((usable[0], ) * 3, f'band {usable[0]}{grey} is used as grey')


def described_band(descriptions: Sequence[str | None], colour: str) -> int | None:
    """The number, from 1, of the only band whose description names a colour; None where none or several do.

    'Red', 'B04 (red)' and 'band_3_red' name red; 'red edge', 'near infrared' and 'coastal blue' name no colour that a
    picture has. Where several do, such as PlanetScope's 'green_i' and 'green', the plain word decides.
    """
    texts = [(text or '').strip().lower() for text in descriptions]
    plain = [index for index, text in enumerate(texts, 1) if text in (colour, colour[0])]
    whole = [index for index, text in enumerate(texts, 1)
             if re.search(rf'(?<![a-z]){colour}(?![a-z])', text) and not OTHER_COLOURS.search(text)]
    return next((found[0] for found in (plain, whole) if len(found) == 1), None)


def _band_of_wavelength(dataset: DatasetReader, colour: str) -> int | None:
    """The band next to the middle of a colour, as spectrometers name them; None where none is near it."""
    waves = {index: _micrometres(dataset, index) for index in dataset.indexes}
    away = {index: abs(wave - WAVELENGTHS[colour]) for index, wave in waves.items() if wave is not None}
    nearest = min(away, key=away.__getitem__, default=None)
    return nearest if nearest is not None and away[nearest] <= NEAR_WAVELENGTH else None


def _micrometres(dataset: DatasetReader, index: int) -> float | None:
    tags = {**dataset.tags(index), **dataset.tags(index, ns='IMAGERY')}  # ENVI's own names, and GDAL's since 3.10
    try:
        wave = float(tags.get('CENTRAL_WAVELENGTH_UM') or tags['wavelength'])
    except (KeyError, ValueError):
        return None
    return wave / 1000 if wave > 100 else wave  # nanometres


def _listed(numbers: list) -> str:
    return f'{numbers[0]}, {numbers[1]} and {numbers[2]}'


def _numbers(numbers: list) -> str:
    return ' '.join(map(str, numbers))


def write_band(path: Path, values: np.ndarray, grid: Any, description: str, nodata: float, scale: float = 1.,
               predictor: int = 1, colormap: dict | None = None) -> None:
    """Write one band as a compressed, tiled GeoTIFF.

    Args:
        path: Path of the file.
        values: (H, W); may lie on the disk, it is read in strips.
        grid: Gives ``crs`` and ``transform``, either of which may be None.
        description: Description of the band.
        nodata: The value of pixels without data.
        scale: Factor from a value to the quantity, written into the header.
        predictor: Predictor of the compression: 1 none, 2 differences of integers, 3 of floats.
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
    except RASTER_ERRORS as error:
        raise not_written(path, error) from error
    if not complete:
        raise not_written(path)


def _strips(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Whole rows of blocks, so that each block is compressed once."""
    for top in range(0, len(values), BLOCK):
        yield top, np.array(values[top:top + BLOCK])
