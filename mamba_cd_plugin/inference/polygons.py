"""From a change mask to polygons with area and mean probability."""
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import numpy as np
import rasterio
import shapely
from mmengine.logging import print_log
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from rasterio import features
from shapely import Polygon

from ..io.grids import ELLIPSOID, map_points
from .job import PROBABILITY_STEPS
from .outlines import OUTLINES
from .splitting import LARGEST_WINDOW, PixelPolygons, Reader, can_be_split, split_polygons

# Rows that are rasterised at a time: a strip of a 100,000 px wide image then takes 200 MB.
STRIP_ROWS = 512


def vectorize(mask_path: Path, probability: np.ndarray, min_area: float, outline: str = 'pixels',
              split: float | None = None) -> geopandas.GeoDataFrame:
    """Outline the changed pixels of a mask.

    Args:
        mask_path: The mask as a raster.
        probability: Probability of change, (H, W), float32 or quantised; may lie on the disk.
        min_area: Smaller polygons are dropped; square metres, or pixels without a CRS.
        outline: Kind of outline, a key of :data:`OUTLINES`. Area and probability are those of the pixels.
        split: Part what grew together at this probability, see :func:`~.splitting.split_polygons`.

    Returns:
        One row per polygon, in the CRS of the mask, largest first: ``id``, ``area_m2`` (``area_px`` without a CRS),
        ``mean_probability``, ``geometry``.
    """
    with rasterio.open(mask_path) as file:
        grid = PolygonGrid(file.transform, None if file.crs is None else CRS.from_user_input(file.crs))
        shapes = outline_pixels(rasterio.band(file, 1))
    polygons = PixelPolygons(shapes, *count_pixels(shapes, probability))
    polygons, areas = select_polygons(polygons, grid, min_area, split, lambda rows, columns: probability[rows, columns])
    order = np.argsort(-areas, kind='stable')
    return tabulate(np.arange(1, len(order) + 1), polygons.take(order), areas[order], grid, outline)


class PolygonGrid(NamedTuple):
    """The grid that pixel coordinates belong to.

    Attributes:
        transform: Transformation from (column, row) to coordinates.
        crs: pyproj's; None where there is none, so that areas are in pixels.
    """
    transform: rasterio.Affine
    crs: CRS | None

    @property
    def area_column(self) -> str:
        """The name of the column of areas, which says their unit."""
        return 'area_px' if self.crs is None else 'area_m2'

    def to_ground(self, shapes: np.ndarray) -> np.ndarray:
        """Geometries from (column, row) to coordinates."""
        return shapely.transform(shapes, partial(map_points, self.transform))

    def areas(self, shapes: np.ndarray) -> np.ndarray:
        """Areas of polygons in pixel coordinates: square metres on the ellipsoid, or pixels.

        They are right in every CRS, also in degrees or Web Mercator.
        """
        return shapely.area(shapes) if self.crs is None else geodesic_areas(self.to_ground(shapes), self.crs)


def outline_pixels(band: Any) -> np.ndarray:
    """The outlines of the pixels of value 1, as polygons in (column, row).

    Pixels that touch only at a corner are different polygons: an outline through that corner would cross itself.

    Args:
        band: An array (H, W) of uint8, or rasterio's band of an open file.

    Returns:
        Shapely polygons in their normal form.
    """
    matrix = np.array(tuple(getattr(getattr(band, 'ds', None), 'transform', rasterio.Affine.identity()))[:6])
    matrix = matrix.reshape(2, 3)
    # The band as its own mask leaves out the 0; nodata comes along and is dropped by its value.
    polygons = [shapely.geometry.shape(shape) for shape, value in features.shapes(band, mask=band, connectivity=4)
                if value == 1]
    # GDAL gives coordinates on the ground; in pixels they are whole numbers.
    to_pixels = np.linalg.inv(matrix[:, :2])
    shapes = shapely.transform(np.array(polygons, object), lambda xy: np.rint((xy - matrix[:, 2]) @ to_pixels.T))
    return shapely.normalize(shapes)


def select_polygons(polygons: PixelPolygons, grid: PolygonGrid, min_area: float, split: float | None = None,
                    read: Reader | None = None) -> tuple[PixelPolygons, np.ndarray]:
    """Measure polygons, drop the small ones, and split those that grew together, each independently of the others.

    Args:
        polygons: Polygons in pixel coordinates.
        grid: Grid of these coordinates.
        min_area: See :func:`vectorize`.
        split: See :func:`vectorize`.
        read: The probability; only needed to split.

    Returns:
        The remaining polygons, and their areas (N,).
    """
    areas = grid.areas(polygons.shapes)
    kept = areas >= min_area
    polygons, areas = polygons.take(kept), areas[kept]
    if split is None or not len(areas):
        return polygons, areas
    whole = sum(not can_be_split(shape) for shape in polygons.shapes)
    if whole:
        print_log(f'{whole} polygons in a window of more than {LARGEST_WINDOW:,} px are not split', 'current')
    polygons = split_polygons(polygons, read, split, min_area * polygons.pixels / areas)
    return polygons, grid.areas(polygons.shapes)


def tabulate(ids: np.ndarray, polygons: PixelPolygons, areas: np.ndarray, grid: PolygonGrid,
             outline: str) -> geopandas.GeoDataFrame:
    """The table of polygons as users get it, with outlines as they asked for; see :func:`vectorize`."""
    outlines = np.array([_outline(shape, outline) for shape in polygons.shapes], object)
    return geopandas.GeoDataFrame(
        {
            'id': ids,
            grid.area_column: areas.round(2),
            'mean_probability': (polygons.sums / polygons.pixels).round(4),
        }, geometry=list(grid.to_ground(outlines)), crs=grid.crs)


def _outline(shape: Polygon, outline: str) -> Polygon:
    """Outline a polygon near the origin, so that rounding, and with it the result, does not depend on its place."""
    corner = np.array(shape.bounds[:2])
    moved = OUTLINES[outline](shapely.transform(shape, lambda xy: xy - corner))
    return shapely.transform(moved, lambda xy: xy + corner)


def geodesic_areas(shapes: np.ndarray, crs: CRS) -> np.ndarray:
    """Areas of polygons and multipolygons in square metres on the ellipsoid; in a local CRS those of the plane."""
    try:
        transformer = Transformer.from_crs(crs, 'EPSG:4326', always_xy=True)
    except ProjError:  # the local CRS of a building site, which has no place on Earth
        return shapely.area(np.asarray(shapes)) * crs.axis_info[0].unit_conversion_factor**2
    parts, owner = shapely.get_parts(np.asarray(shapes, object), return_index=True)
    return np.bincount(owner, [_geodesic_area(part, transformer) for part in parts], minlength=len(shapes))


def _geodesic_area(polygon: Polygon, transformer: Transformer) -> float:
    rings = [abs(ELLIPSOID.polygon_area_perimeter(*transformer.transform(*np.asarray(ring.coords).T))[0])
             for ring in (polygon.exterior, *polygon.interiors)]
    return rings[0] - sum(rings[1:])


def count_pixels(shapes: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many pixels each polygon has, and the sum of their probabilities, from one pass over the image in strips.

    Args:
        shapes: Disjoint outlines of pixels, in (column, row).
        probability: Probability of change, (H, W), float32 or quantised; may lie on the disk.
    """
    sums, counts = np.zeros(len(shapes) + 1), np.zeros(len(shapes) + 1, int)
    for top, inside in _strips(shapes, len(probability)):
        values = np.array(probability[top:top + STRIP_ROWS])
        numbers = features.rasterize(
            ((shapes[i], i + 1) for i in inside), values.shape, dtype='int32',
            transform=rasterio.Affine.translation(0, top))
        changed = numbers > 0
        sums += np.bincount(numbers[changed], values[changed], minlength=len(sums))
        counts += np.bincount(numbers[changed], minlength=len(counts))
    return counts[1:], sums[1:] / (PROBABILITY_STEPS if probability.dtype == np.uint8 else 1)


def _strips(shapes: np.ndarray, height: int) -> Iterator[tuple[int, np.ndarray]]:
    """The top of every strip that holds polygons, and the indices of these."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    for top in range(0, height, STRIP_ROWS):
        inside = np.flatnonzero((bounds[:, 1] < top + STRIP_ROWS) & (bounds[:, 3] > top))
        if len(inside):
            yield top, inside
