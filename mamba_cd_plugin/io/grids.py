"""How the pixel grids of two rasters lie to each other."""
import math

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform as transform_points
from rasterio.warp import transform_bounds

# Grids whose corners differ by less are one grid: far below what registration or a model can tell, and above the
# rounding of coordinates in file headers.
SAME_PIXELS = 0.01
# A coarser B holds too little to compare; said, not refused, since the user may have nothing better.
COARSE = 1.5


def same_grid(a: DatasetReader, b: DatasetReader) -> bool:
    """Whether the two grids are one, pixel by pixel.

    Raises:
        ValueError: If that cannot be known, because a CRS is missing.
    """
    if (a.crs is None) != (b.crs is None):
        without, other = (a, b) if a.crs is None else (b, a)
        raise ValueError(f'{without.name} has no CRS, but {other.name} has {describe_crs(other.crs)}; so it cannot be '
                         f'known where it lies. Assign its CRS: rio edit-info --crs EPSG:<code> {without.name}')
    same = a.crs == b.crs and a.shape == b.shape and bool(np.abs(_corners(a, b)).max() < SAME_PIXELS)
    if not same and a.crs is None:
        raise ValueError(f'{a.name} ({a.width} x {a.height}) and {b.name} ({b.width} x {b.height}) have no CRS, and '
                         'differ in size or origin; so one cannot be laid over the other. Assign both their CRS, or '
                         'cut them to the same pixels')
    return same


def _corners(a: DatasetReader, b: DatasetReader) -> np.ndarray:
    """How far, in pixels of A, B's corners lie from A's when both have one CRS and size."""
    corners = np.array([(0, 0, 1), (a.width, 0, 1), (0, a.height, 1), (a.width, a.height, 1)], float).T
    return np.linalg.solve(matrix(a), matrix(b) @ corners) - corners


def matrix(dataset: DatasetReader) -> np.ndarray:
    """The affine map from (column, row, 1) to (x, y, 1)."""
    return np.array(tuple(dataset.transform)[:9]).reshape(3, 3)


def coverage(a: DatasetReader, b: DatasetReader) -> float:
    """The share of A's extent that B's extent covers, by their bounding boxes in A's CRS.

    Raises:
        ValueError: If they do not overlap.
    """
    try:
        left, bottom, right, top = transform_bounds(b.crs, a.crs, *b.bounds)
    except RasterioError:  # B lies where A's projection is not defined
        left = bottom = right = top = math.nan
    width = min(right, a.bounds.right) - max(left, a.bounds.left)
    height = min(top, a.bounds.top) - max(bottom, a.bounds.bottom)
    if not (width > 0 and height > 0):  # so that NaN, too, means no overlap
        raise ValueError(f'{a.name} and {b.name} do not overlap: A lies at {_place(a)}, B at {_place(b)} (longitude '
                         'and latitude). Are they of one place, and their CRS right?')
    return min(1., width * height / ((a.bounds.right - a.bounds.left) * (a.bounds.top - a.bounds.bottom)))


def _place(dataset: DatasetReader) -> str:
    try:
        west, south, east, north = transform_bounds(dataset.crs, CRS.from_epsg(4326), *dataset.bounds)
    except RasterioError:
        return 'a place outside its own CRS'
    return f'{west:.4f}..{east:.4f}, {south:.4f}..{north:.4f}'


def describe_crs(crs: CRS) -> str:
    """A CRS by its code, or by its name where it has none."""
    code = crs.to_epsg()
    return f'EPSG:{code}' if code else (crs.to_dict().get('proj') or 'a CRS without code')


def describe_difference(a: DatasetReader, b: DatasetReader, covered: float) -> str:
    """What warping B onto A's grid changes, for the user."""
    sizes = _pixel_size(a, a), _pixel_size(b, a)
    text = (f'B is warped onto the grid of A: from {describe_crs(b.crs)}, {b.width} x {b.height} pixels of '
            f'{sizes[1]:.4g}, to {describe_crs(a.crs)}, {a.width} x {a.height} of {sizes[0]:.4g} (in the units of A)')
    if sizes[1] > COARSE * sizes[0]:
        text += f'; B is {sizes[1] / sizes[0]:.1f} times coarser, and a small change may not be seen'
    if covered < 0.999:
        text += f'; B covers {100 * covered:.1f} % of A, the rest becomes nodata'
    return text


def _pixel_size(dataset: DatasetReader, grid: DatasetReader) -> float:
    """Side of the central pixel of a raster in the units of ``grid``."""
    x, y = dataset.width / 2, dataset.height / 2
    xs, ys, _ = matrix(dataset) @ np.array([(x, y, 1), (x + 1, y, 1), (x, y + 1, 1)]).T
    xs, ys = transform_points(dataset.crs, grid.crs, xs, ys)
    return math.sqrt(abs((xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])))
