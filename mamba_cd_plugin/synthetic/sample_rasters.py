"""A generated town as two GeoTIFFs, to try prediction on: B in another CRS and on a grid of its own."""
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import calculate_default_transform, reproject

from ..io.files import OutputFolder, whole_file
from .scene import generate_pair

PIXEL = 0.5  # metres, as in LEVIR-CD
# Munich: in zone 32 of UTM, and near enough to zone 33 for a B that is delivered in that, turned by 4.5 degrees.
CRS_A, CRS_B = 'EPSG:32632', 'EPSG:32633'
WEST, NORTH = 690000., 5334000.
# Ground around A that B shows as well, so that B covers A to its border.
MARGIN = 64
# B's pixels begin in the middle of A's, and not on whole metres.
SHIFT = (0.17, -0.31)

# A larger town repeats itself, mirrored: generating one takes some two seconds per million pixels.
LARGEST = 2048


class SamplePair(NamedTuple):
    """The written files.

    Attributes:
        a: The earlier image.
        b: The later image.
        truth: Mask of the changed pixels of A, 0 and 255.
    """
    a: Path
    b: Path
    truth: Path


def sample_pair(folder: Path, size: tuple[int, int], seed: int = 0) -> SamplePair:
    """The pair of an earlier run of just this size and seed, or a new one, which takes longer than to predict it.

    Args and result are those of :func:`write_sample_pair`.
    """
    wanted = dict(size=list(size), seed=seed)
    note = folder / 'town.json'
    pair = _paths(folder)
    if not all(path.is_file() for path in (*pair, note)) or json.loads(note.read_text('utf-8')) != wanted:
        note.unlink(missing_ok=True)
        write_sample_pair(folder, size, seed)
        note.write_text(json.dumps(wanted), 'utf-8')
    return pair


def write_sample_pair(folder: Path, size: tuple[int, int], seed: int = 0) -> SamplePair:
    """Write a generated pair with georeference, and its truth.

    Args:
        folder: Made if missing.
        size: (H, W) of A in pixels.
        seed: Random seed; the same seed gives the same scene.

    Raises:
        FileExistsError: If files of these names are there that were not made here.
    """
    pair = _paths(folder)
    outputs, names = OutputFolder(folder), [path.name for path in pair]
    outputs.claim(names)
    height, width = size
    around = height + 2 * MARGIN, width + 2 * MARGIN
    # Registered to a pixel: what georeferenced images promise, and the truth has to fit A as well.
    scene = generate_pair(seed, tuple(min(side, LARGEST) for side in around), largest_offset=1.0)
    a, b, label = (_enlarge(image, around) for image in (scene.a, scene.b, scene.label))
    inner = slice(MARGIN, MARGIN + height), slice(MARGIN, MARGIN + width)
    transform = from_origin(WEST, NORTH, PIXEL, PIXEL)
    _write(pair.a, a[inner].transpose(2, 0, 1), CRS_A, transform)
    _write(pair.truth, label[inner][None], CRS_A, transform)
    _write_warped(pair.b, b.transpose(2, 0, 1))
    outputs.sign(names)
    return pair


def _paths(folder: Path) -> SamplePair:
    return SamplePair(*(folder / f'town_{name}.tif' for name in ('2019', '2023', 'truth')))


def _enlarge(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    padding = [(0, side - have) for side, have in zip(size, image.shape)] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, padding, mode='symmetric')


def _write_warped(path: Path, image: np.ndarray) -> None:
    """Write B, which reaches MARGIN pixels beyond A, in its own CRS."""
    count, height, width = image.shape
    around = from_origin(WEST - MARGIN * PIXEL, NORTH + MARGIN * PIXEL, PIXEL, PIXEL)
    bounds = rasterio.transform.array_bounds(height, width, around)
    transform, columns, rows = calculate_default_transform(CRS_A, CRS_B, width, height, *bounds, resolution=PIXEL)
    transform = from_origin(transform.c + SHIFT[0], transform.f + SHIFT[1], PIXEL, PIXEL)
    warped = np.zeros((count, rows, columns), np.uint8)
    # 0 means outside; within the image it does not occur in all bands at once.
    reproject(np.maximum(image, 1), warped, src_transform=around, src_crs=CRS_A, dst_transform=transform, dst_crs=CRS_B,
              src_nodata=0, dst_nodata=0, resampling=Resampling.cubic)
    _write(path, warped, CRS_B, transform, nodata=0)


def _write(path: Path, bands: np.ndarray, crs: str, transform: rasterio.Affine, **options: float) -> None:
    count, height, width = bands.shape
    profile = dict(driver='GTiff', count=count, height=height, width=width, dtype='uint8', crs=crs, transform=transform,
                   tiled=True, blockxsize=256, blockysize=256, compress='deflate', **options)
    with whole_file(path) as part, rasterio.open(part, 'w', **profile) as file:
        file.write(bands)
