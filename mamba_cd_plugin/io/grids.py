"""Where rasters lie, and how the pixel grids of two of them lie to each other."""
import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from pyproj import Geod, Transformer
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

# Grids whose corners differ by less are one grid: far below what registration or a model can tell, and above the
# rounding of coordinates in file headers.
SAME_PIXELS = 0.01
# A coarser B holds too little to compare; said, not refused, since the user may have nothing better.
COARSE = 1.5
# Pixels that are so much longer than wide show buildings as no image of the training does; degrees do from 37 degrees
# of latitude on.
OBLONG = 1.25
# The ellipsoid of lengths and areas. National ones differ from it by less than 0.02 %.
ELLIPSOID = Geod(ellps='WGS84')
# Points per side of A from which its share that B covers is taken: to 0.4 % of either side.
SAMPLE_POINTS = 256

# Files that are taken pixel by pixel may lie so far apart by their headers, in pixels: rounding, and half-pixel habits.
APART = 0.75
TIFF_SUFFIXES = ('.tif', '.tiff')

ToPixels = Callable[[np.ndarray], np.ndarray]


def check_location(dataset: DatasetReader) -> None:
    """Refuse a raster that says where it lies in a way that is not a grid.

    Raises:
        ValueError: If it has only ground control points or rational polynomials, or a geotransform that is none.
    """
    name, plain = dataset.name, dataset.transform.is_identity
    if dataset.crs is None and dataset.gcps[0]:
        raise ValueError(f'{name}: is located by {len(dataset.gcps[0])} ground control points, not by a grid. Warp it '
                         f'first: gdalwarp -t_srs EPSG:<code> {name} warped.tif')
    if dataset.rpcs is not None and plain:
        raise ValueError(f'{name}: is a raw scene that is located only by rational polynomials (RPC), not by a grid. '
                         'Orthorectify it first: gdalwarp -rpc -to RPC_DEM=<elevation.tif> -t_srs EPSG:<code> '
                         f'{name} ortho.tif')
    if not np.isfinite(matrix(dataset)).all() or abs(np.linalg.det(matrix(dataset)[:2, :2])) < 1e-30:
        raise ValueError(f'{name}: its geotransform {tuple(dataset.transform)[:6]} gives pixels no size. Assign the '
                         f'right one: gdal_edit.py -a_ullr <left> <top> <right> <bottom> {name}')


def same_grid(a: DatasetReader, b: DatasetReader) -> bool:
    """Whether the two grids are one, pixel by pixel, whatever their CRS are called.

    Raises:
        ValueError: If that cannot be known, because a CRS, or an operation between two of them, is missing.
    """
    if (a.crs is None) != (b.crs is None):
        without, other = (a, b) if a.crs is None else (b, a)
        raise ValueError(f'{without.name} has no CRS, but {other.name} has {describe_crs(other.crs)}; so it cannot be '
                         f'known where it lies. Assign its CRS: {how_to_assign(without.name)}')
    same = a.shape == b.shape and bool(np.abs(_shifts(a, b)).max() < SAME_PIXELS)
    if not same and a.crs is None:
        raise ValueError(f'{a.name} ({a.width} x {a.height}{_origin(a)}) and {b.name} ({b.width} x {b.height}'
                         f'{_origin(b)}) have no CRS, and differ in size or origin; so one cannot be laid over the '
                         'other. Assign both their CRS (rio edit-info --crs EPSG:<code>), or cut them to the same '
                         'pixels')
    for one in (a, b):
        if not same and one.transform.is_identity:
            raise ValueError(f'{one.name} {describe_lost(one)}')
    return same


def describe_lost(dataset: DatasetReader) -> str:
    """What a raster lacks that has a CRS, but no geotransform."""
    return (f'has a CRS ({describe_crs(dataset.crs)}), but neither origin nor pixel size, so it cannot be known where '
            f'it lies. Assign them: gdal_edit.py -a_ullr <left> <top> <right> <bottom> {dataset.name}')


def how_to_assign(name: str) -> str:
    """The command that gives a raster its CRS, from a .prj beside it, which GDAL itself does not read."""
    beside = Path(name).with_suffix('.prj')
    return f'gdal_edit.py -a_srs {beside} {name}' if beside.is_file() else f'rio edit-info --crs EPSG:<code> {name}'


def _origin(dataset: DatasetReader) -> str:
    left, top = dataset.transform.c, dataset.transform.f
    return ', no georeference' if dataset.transform.is_identity else f', upper left at {left:.10g}, {top:.10g}'


def _shifts(a: DatasetReader, b: DatasetReader) -> np.ndarray:
    """Distances, in pixels of A, of points of B from where they would be if B had A's grid."""
    points = _lattice(b, 3)
    return to_pixels(b, a)(points) - points


def describe_apart(paths: Mapping[str, str]) -> str:
    """Which of the GeoTIFFs of a training pair lies elsewhere than the first; '' where none says so.

    Args:
        paths: Files of one size that are taken pixel by pixel, by their role. Other kinds, files without georeference
            and unreadable ones say nothing.
    """
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        located: dict[str, DatasetReader] = {}
        for role, path in paths.items():
            if path.lower().endswith(TIFF_SUFFIXES):
                try:
                    dataset = stack.enter_context(rasterio.open(path))
                    check_location(dataset)
                except (RasterioError, ValueError):  # the reader says what is wrong
                    continue
                if not dataset.transform.is_identity:
                    located[role] = dataset
        for number, (role, b) in enumerate(located.items()):
            first, a = next(iter(located.items()))
            if number == 0 or a.shape != b.shape or (a.crs is None) != (b.crs is None):
                continue
            try:
                away = float(np.abs(_shifts(a, b)).max())
            except ValueError:  # a local CRS, of which nobody knows
                continue
            if not away <= APART:
                far = f'{away:,.1f} px' if np.isfinite(away) else 'far'
                return f'by its georeference {role} lies {far} from {first}'
    return ''


def matrix(dataset: DatasetReader) -> np.ndarray:
    """The affine map from (column, row, 1) to (x, y, 1)."""
    return np.array(tuple(dataset.transform)[:9]).reshape(3, 3)


def map_points(transform: Affine, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) under an affine map; affine 2 and 3 differ in how they take arrays."""
    numbers = np.array(tuple(transform)[:6]).reshape(2, 3)
    return points @ numbers[:, :2].T + numbers[:, 2]


def to_pixels(source: DatasetReader, target: DatasetReader) -> ToPixels:
    """The map of pixel positions (2, N), column and row, of one raster to those of another; inf where there is none.

    Raises:
        ValueError: If no operation between their CRS is known.
    """
    convert, target_crs = None, wrapped_crs(target, source)
    if source.crs != target.crs or target_crs is not None:
        try:
            convert = Transformer.from_crs(source.crs.to_wkt(), target_crs or target.crs.to_wkt(), always_xy=True)
        except ProjError as error:
            raise ValueError(f'{source.name} is in {describe_crs(source.crs)}, {target.name} in '
                             f'{describe_crs(target.crs)}, and no way from one to the other is known. A local CRS has '
                             'no place on Earth: bring both images into one CRS') from error

    def apply(points: np.ndarray) -> np.ndarray:
        x, y, _ = matrix(source) @ np.vstack([points, np.ones(points.shape[1])])
        if convert is not None:
            x, y = convert.transform(x, y)
        with np.errstate(invalid='ignore'):  # inf minus inf, beyond a projection
            return np.linalg.solve(matrix(target), np.vstack([x, y, np.ones(len(x))]))[:2]

    return apply


def wrapped_crs(dataset: DatasetReader, other: DatasetReader) -> str | None:
    """The CRS of a raster in degrees with its longitudes counted around its own middle; None where it needs none.

    180.05 degrees and -179.95 are one place, but only one of them lies in a raster of 179.9..180.1 degrees.
    """
    if dataset.crs is None or not dataset.crs.is_geographic:
        return None
    middle = matrix(dataset) @ (dataset.width / 2, dataset.height / 2, 1)
    reaches = [abs(_longitudes(one)).max() for one in (dataset, other) if one.crs is not None and one.crs.is_geographic]
    if max(reaches) <= 180:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # a PROJ string has no name and no code, which are not needed here
        text = pyproj.CRS(dataset.crs.to_wkt()).to_proj4()
    return f'{text} +lon_wrap={middle[0]:.6f} +type=crs'


def _longitudes(dataset: DatasetReader) -> np.ndarray:
    return (matrix(dataset) @ np.vstack([_lattice(dataset, 2), np.ones(4)]))[0]


def _lattice(dataset: DatasetReader, count: int) -> np.ndarray:
    """Pixel positions (2, N) from corner to corner, ``count`` along either side."""
    axes = np.linspace(0, dataset.width, count), np.linspace(0, dataset.height, count)
    return np.array([axis.ravel() for axis in np.meshgrid(*axes)])


def coverage(a: DatasetReader, b: DatasetReader) -> float:
    """The share of A's pixels that lie in B.

    Raises:
        ValueError: If they do not overlap.
    """
    steps = [np.arange(min(size, SAMPLE_POINTS)) for size in (a.width, a.height)]
    columns, rows = ((step + 0.5) * size / len(step) for step, size in zip(steps, (a.width, a.height)))
    points = np.array([axis.ravel() for axis in np.meshgrid(columns, rows)])
    covered = float(_inside(to_pixels(a, b)(points), b).mean())
    if covered == 0 and not _inside(to_pixels(b, a)(_lattice(b, SAMPLE_POINTS)), a).any():
        raise ValueError(f'{a.name} and {b.name} do not overlap: A lies at {_place(a)}, B at {_place(b)}. Are they of '
                         'one place, and their CRS right?')
    return covered


def _inside(points: np.ndarray, dataset: DatasetReader) -> np.ndarray:
    columns, rows = points
    return (columns > 0) & (columns < dataset.width) & (rows > 0) & (rows < dataset.height)  # so is inf outside


def _place(dataset: DatasetReader) -> str:
    x, y, _ = matrix(dataset) @ np.vstack([_lattice(dataset, 5), np.ones(25)])
    unit = f'in {describe_crs(dataset.crs)}'
    longitude, latitude = to_degrees(dataset.crs, x, y) or (np.array([np.inf]), np.array([np.inf]))
    if np.isfinite(longitude).all() and np.isfinite(latitude).all():
        x, y, unit = longitude, latitude, 'longitude and latitude'
    digits = 4 if unit[0] == 'l' else 2
    return f'{x.min():.{digits}f}..{x.max():.{digits}f}, {y.min():.{digits}f}..{y.max():.{digits}f} ({unit})'


def to_degrees(crs: CRS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Coordinates as longitude and latitude; None for a local CRS, which has no place on Earth."""
    try:
        return Transformer.from_crs(crs.to_wkt(), 'EPSG:4326', always_xy=True).transform(x, y)
    except ProjError:
        return None


def ground_size(grid: Any) -> tuple[float, float] | None:
    """Width and height on the ground, in metres, of the pixel in the middle; None where its place is not known.

    Args:
        grid: Has ``crs``, ``transform``, ``width`` and ``height``.
    """
    corners = np.array([(0, 0), (1, 0), (0, 1)]) + (grid.width / 2, grid.height / 2)
    degrees = None if grid.crs is None else to_degrees(grid.crs, *map_points(grid.transform, corners).T)
    if degrees is None or not np.isfinite(degrees).all():
        return None
    (x, right, below), (y, right_y, below_y) = degrees
    return ELLIPSOID.inv(x, y, right, right_y)[2], ELLIPSOID.inv(x, y, below, below_y)[2]


def describe_oblong(grid: Any) -> str:
    """What is wrong with pixels that are no squares on the ground, such as those of degrees; '' for others.

    Args:
        grid: See :func:`ground_size`.
    """
    sides = ground_size(grid)
    if sides is None or max(sides) <= OBLONG * min(sides):
        return ''
    (x, ), (y, ) = to_degrees(grid.crs, *map_points(grid.transform, np.array([(grid.width / 2, grid.height / 2)])).T)
    utm = (32600 if y >= 0 else 32700) + int((x + 180) % 360 // 6) + 1
    return (f'a pixel is {sides[0]:.3g} m wide and {sides[1]:.3g} m high on the ground, so that buildings look '
            f'squeezed, as none that the model was trained on. Square pixels: gdalwarp -t_srs EPSG:{utm} -r bilinear')


def describe_crs(crs: CRS) -> str:
    """A CRS by its code, or by its name where it has none."""
    code = crs.to_epsg()
    if code:
        return f'EPSG:{code}'
    name = crs.to_wkt().split('"')[1:2]
    return f'the CRS "{name[0]}"' if name else 'a CRS without code'


def warp_scales(a: DatasetReader, b: DatasetReader) -> dict[str, float]:
    """GDAL's warp options for B's pixels per pixel of A along B's own axes.

    GDAL takes them from the sizes of the two images, which is wrong where one is turned against the other: of an image
    whose rows are the other's columns it blurs one direction.
    """
    scales = np.linalg.norm(_pixel_of(b, a), axis=0)
    # As GDAL does: a whole ratio, but for what a projection stretches, needs no wider filter than that of the whole.
    whole = np.maximum(np.rint(1 / scales), 1)
    scales = np.where(np.abs(1 / scales - whole) < 0.05, 1 / whole, scales)
    return dict(zip(('XSCALE', 'YSCALE'), map(float, scales)))


def _pixel_of(b: DatasetReader, a: DatasetReader) -> np.ndarray:
    """The sides of the central pixel of B in pixels of A, as the columns of a matrix."""
    pixels = to_pixels(b, a)(np.array([(0, 0), (1, 0), (0, 1)]).T + np.array([[b.width / 2], [b.height / 2]]))
    return pixels[:, 1:] - pixels[:, :1]


def describe_difference(a: DatasetReader, b: DatasetReader, covered: float) -> str:
    """What warping B onto A's grid changes, for the user."""
    ratio = math.sqrt(abs(np.linalg.det(_pixel_of(b, a))))
    size = math.sqrt(abs(np.linalg.det(matrix(a)[:2, :2])))
    text = (f'B is warped onto the grid of A: from {describe_crs(b.crs)}, {b.width} x {b.height} pixels of '
            f'{ratio * size:.4g}, to {describe_crs(a.crs)}, {a.width} x {a.height} of {size:.4g} (in the units of A)')
    if ratio > COARSE:
        text += f'; B is {ratio:.1f} times coarser, and a small change may not be seen'
    if covered < 0.999:
        share = f'{100 * covered:.1f} %' if covered >= 0.001 else 'less than 0.1 %'
        text += f'; B covers {share} of A, the rest becomes nodata'
    return text + _describe_accuracy(a, b)


def _describe_accuracy(a: DatasetReader, b: DatasetReader) -> str:
    """What is missing for an exact transformation between two CRS; '' where nothing is."""
    if a.crs == b.crs:
        return ''
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # pyproj's own words for what is said here
        known = TransformerGroup(b.crs.to_wkt(), a.crs.to_wkt(), always_xy=True)
    if not known.transformers or 'allpark' in known.transformers[0].description:
        return (f'; between {describe_crs(b.crs)} and {describe_crs(a.crs)} only a ballpark transformation is known, '
                'and B may lie many metres off')
    if known.best_available:
        return ''
    grids = dict.fromkeys(grid.short_name for grid in known.unavailable_operations[0].grids if not grid.available)
    return (f'; the transformation is accurate to about {known.transformers[0].accuracy:g} m here, since '
            f'{", ".join(grids)} is not installed (projsync --file {next(iter(grids), "")})')
