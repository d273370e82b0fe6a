"""From a change mask to polygons with area and mean probability, in outlines as people expect them of buildings."""
from pathlib import Path
from typing import Callable, Iterator, Optional

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError
from rasterio import features
from shapely import Polygon, affinity

from .job import PROBABILITY_STEPS

# Rows that are rasterised at a time: a strip of a 100,000 px wide image then takes 200 MB.
STRIP_ROWS = 512
LAYER = 'changes'
# The ellipsoid of the areas. National ones differ from it by less than 0.02 %.
ELLIPSOID = Geod(ellps='WGS84')
# An outline may move by half a pixel: where within a pixel the border runs is not known anyway.
TOLERANCE = 0.5
# A squared outline may move further: a wall is straightened over all its length.
SQUARE_TOLERANCE = 2.
AREA_CHANGE = 0.01
# From the most to the least: the first that keeps within half a pixel is taken.
SIMPLIFICATIONS = (0.5, 0.35, 0.2, 0.)
# Walls shorter than this are parts of a staircase, not of a building.
SHORTEST_WALL = 2.
SQUARE_OVERLAP = 0.9


def vectorize(mask_path: Path, probability: np.ndarray, min_area: float,
              outline: str = 'pixels') -> geopandas.GeoDataFrame:
    """Outline the changed pixels.

    Pixels that touch only at a corner are different polygons: an outline through that corner would cross itself. Areas
    are those on the ellipsoid, so they are right in every CRS, also in degrees or Web Mercator. Without a CRS they
    are in pixels, and so are the coordinates.

    Args:
        mask_path: The mask as a raster.
        probability: Of change, (H, W), float32 or quantised; may lie on the disk.
        min_area: Smaller polygons are dropped; square metres, or pixels without a CRS.
        outline: How the pixels are outlined, a key of :data:`OUTLINES`. Area and probability are those of the pixels.

    Returns:
        One row per polygon, in the CRS of the mask, largest first: ``id``, ``area_m2`` (``area_px`` without a CRS),
        ``mean_probability``, ``geometry``.
    """
    with rasterio.open(mask_path) as file:
        crs = None if file.crs is None else CRS.from_user_input(file.crs)
        band = rasterio.band(file, 1)
        # The band as its own mask leaves out the 0; nodata comes along and is dropped by its value.
        polygons = [shapely.geometry.shape(shape) for shape, value in features.shapes(band, mask=band, connectivity=4)
                    if value == 1]
        matrix = np.array(tuple(file.transform)[:6]).reshape(2, 3)
    # GDAL gives coordinates on the ground; in pixels they are whole numbers.
    to_pixels = np.linalg.inv(matrix[:, :2])
    shapes = shapely.transform(np.array(polygons), lambda xy: np.rint((xy - matrix[:, 2]) @ to_pixels.T))
    areas, unit = (shapely.area(shapes), 'px') if crs is None else (_areas(polygons, crs), 'm2')
    means = _mean_probabilities(shapes, probability)
    order = [i for i in np.argsort(-areas, kind='stable') if areas[i] >= min_area]
    return geopandas.GeoDataFrame(
        {
            'id': np.arange(1, len(order) + 1),
            f'area_{unit}': areas[order].round(2),
            'mean_probability': means[order].round(4),
        },
        geometry=[polygons[i] for i in order] if outline == 'pixels' else list(
            shapely.transform(np.array([OUTLINES[outline](shapes[i]) for i in order]),
                              lambda xy: xy @ matrix[:, :2].T + matrix[:, 2])),
        crs=crs)


def _areas(polygons: list, crs: CRS) -> np.ndarray:
    """Areas in square metres on the ground."""
    try:
        transformer = Transformer.from_crs(crs, 'EPSG:4326', always_xy=True)
    except ProjError:  # the local CRS of a building site, which has no place on Earth
        return shapely.area(np.array(polygons)) * crs.axis_info[0].unit_conversion_factor**2
    return np.array([_geodesic_area(polygon, transformer) for polygon in polygons])


def _geodesic_area(polygon: Polygon, transformer: Transformer) -> float:
    rings = [abs(ELLIPSOID.polygon_area_perimeter(*transformer.transform(*np.asarray(ring.coords).T))[0])
             for ring in (polygon.exterior, *polygon.interiors)]
    return rings[0] - sum(rings[1:])


def _mean_probabilities(shapes: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The mean over the pixels of each polygon (pixel coordinates), from one pass over the image in strips."""
    sums, counts = np.zeros(len(shapes) + 1), np.zeros(len(shapes) + 1)
    for top, inside in _strips(shapes, len(probability)):
        values = np.array(probability[top:top + STRIP_ROWS])
        numbers = features.rasterize(
            ((shapes[i], i + 1) for i in inside), values.shape, dtype='int32',
            transform=rasterio.Affine.translation(0, top))
        changed = numbers > 0
        sums += np.bincount(numbers[changed], values[changed], minlength=len(sums))
        counts += np.bincount(numbers[changed], minlength=len(counts))
    scale = PROBABILITY_STEPS if probability.dtype == np.uint8 else 1
    return sums[1:] / np.maximum(counts[1:], 1) / scale


def _strips(shapes: np.ndarray, height: int) -> Iterator[tuple[int, np.ndarray]]:
    """The top of every strip that holds polygons, and which."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    for top in range(0, height, STRIP_ROWS):
        inside = np.flatnonzero((bounds[:, 1] < top + STRIP_ROWS) & (bounds[:, 3] > top))
        if len(inside):
            yield top, inside


def write_polygons(polygons: geopandas.GeoDataFrame, path: Path, driver: str, date: str) -> None:
    """Write polygons in a format of GDAL: a GeoPackage in their own CRS, GeoJSON in degrees as RFC 7946 wants it.

    Args:
        polygons: From :func:`vectorize`.
        path: Path of the file.
        driver: GDAL's name of the format.
        date: ISO time that a GeoPackage gives as its last change. The current time would make two runs differ.

    Raises:
        OSError: If it cannot be written completely.
    """
    options: dict = dict(geometry_type='Polygon')  # an empty layer has no polygon to tell it
    if driver == 'GPKG':
        options['layer'] = LAYER
    if driver == 'GeoJSON' and polygons.crs is not None:
        polygons, options['RFC7946'] = polygons.to_crs('EPSG:4326'), 'YES'
    pyogrio.set_gdal_config_options({'OGR_CURRENT_DATE': date})
    try:
        polygons.to_file(path, driver=driver, engine='pyogrio', **options)
        # As for rasters, GDAL need not report a full disk, so the file itself is asked.
        written = pyogrio.read_info(path, force_feature_count=True)['features']
    except (DataSourceError, DataLayerError) as error:
        raise OSError(f'{path}: could not be written ({error}). Is the disk full?') from error
    finally:
        pyogrio.set_gdal_config_options({'OGR_CURRENT_DATE': None})
    if written != len(polygons):
        raise OSError(f'{path}: was not written completely. Is the disk full?')


def simplify_outline(polygon: Polygon) -> Polygon:
    """Straighten the staircases of an outline in pixel coordinates, by up to half a pixel and a percent of the area.

    A step of one pixel becomes its middle: on a slanted wall the middles of all steps lie on one line. Corners between
    longer edges stay where they are.

    Args:
        polygon: Its corners are whole numbers and its edges horizontal and vertical, as GDAL outlines pixels.

    Returns:
        The polygon itself where nothing is gained, or no simpler one is close enough.
    """
    smooth = _map_rings(polygon, _middles_of_steps)
    for tolerance in SIMPLIFICATIONS if smooth is not None else ():
        simple = smooth.simplify(tolerance)
        if _is_close(simple, polygon, TOLERANCE):
            return simple
    return polygon


def square_outline(polygon: Polygon) -> Polygon:
    """Give an outline right angles to the building's main direction, which is that of its smallest rectangle.

    Args:
        polygon: As :func:`simplify_outline` takes it.

    Returns:
        The simplified polygon where a squared one would not cover nearly the same ground, such as a round pond.
    """
    simple = simplify_outline(polygon)
    corners = np.asarray(shapely.minimum_rotated_rectangle(polygon).exterior.coords)
    sides = np.diff(corners, axis=0)[:2]
    along = sides[np.argmax(np.linalg.norm(sides, axis=1))]
    angle = np.degrees(np.arctan2(along[1], along[0]))
    centre = polygon.centroid
    turned = affinity.rotate(simple, -angle, origin=centre)
    squared = _map_rings(turned, _right_angles)
    if squared is None or squared.geom_type != 'Polygon' or not squared.is_valid or not squared.area:
        return simple
    scale = np.sqrt(polygon.area / squared.area)  # so that the area stays that of the pixels
    squared = affinity.rotate(affinity.scale(squared, scale, scale, origin=squared.centroid), angle, origin=centre)
    overlap = squared.intersection(polygon).area / squared.union(polygon).area
    return squared if overlap >= SQUARE_OVERLAP and _is_close(squared, polygon, SQUARE_TOLERANCE) else simple


def _map_rings(polygon: Polygon, change: Callable[[np.ndarray], Optional[np.ndarray]]) -> Optional[Polygon]:
    """A polygon of changed rings, each (N, 2) and not closed; None where one of them vanishes."""
    rings = [change(np.asarray(ring.coords)[:-1]) for ring in (polygon.exterior, *polygon.interiors)]
    return None if any(ring is None or len(ring) < 3 for ring in rings) else Polygon(rings[0], rings[1:])


def _is_close(new: Polygon, old: Polygon, tolerance: float) -> bool:
    return (new.geom_type == 'Polygon' and new.is_valid and len(new.interiors) == len(old.interiors)
            and abs(new.area - old.area) <= AREA_CHANGE * old.area
            and shapely.hausdorff_distance(new.boundary, old.boundary) <= tolerance + 1e-9)


def _middles_of_steps(ring: np.ndarray) -> np.ndarray:
    """A ring of pixel edges in which every step of one pixel, up or down, is replaced by its middle.

    Corners stay where both edges are longer, and at both ends of an edge where the border turns back, such as the top
    of a round outline.
    """
    edges = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(edges).sum(axis=1)
    before = np.roll(edges, 1, axis=0)
    turns = np.sign(before[:, 0] * edges[:, 1] - before[:, 1] * edges[:, 0])
    turns_back = turns == np.roll(turns, -1)
    long = lengths > 1
    is_step = ~long & ~(turns_back & (np.roll(long, 1) | np.roll(long, -1)))
    ends = ~is_step & (turns_back | ~long)  # edges that keep both their corners
    keeps = (long & np.roll(long, 1)) | ends | np.roll(ends, 1)
    points = []
    for corner, edge, kept, step in zip(ring, edges, keeps, is_step):
        if kept:
            points.append(corner)
        if step:
            points.append(corner + edge / 2)
    return np.array(points)


def _right_angles(ring: np.ndarray) -> Optional[np.ndarray]:
    """A ring with horizontal and vertical edges only; None where it has no such shape.

    Edges that run the same way, one after the other, become one line at the mean of their places, each as heavy as it
    is long; where neighbouring lines meet are the corners.
    """
    edges = np.roll(ring, -1, axis=0) - ring
    lengths = np.linalg.norm(edges, axis=1)
    middles = ring + edges / 2
    level = np.abs(edges[:, 0]) >= np.abs(edges[:, 1])
    if level.all() or not level.any():
        return None
    start = int(np.flatnonzero(level != np.roll(level, 1))[0])  # where the direction changes
    order = np.roll(np.arange(len(ring)), -start)
    groups = np.split(order, np.flatnonzero(np.diff(level[order].astype(int))) + 1)
    groups = [group for group in groups if lengths[group].sum() >= SHORTEST_WALL]
    merged: list[list[int]] = []
    for group in groups:
        if merged and level[merged[-1][0]] == level[group[0]]:
            merged[-1] += group.tolist()  # what lay between was too short
        else:
            merged.append(group.tolist())
    if len(merged) > 1 and level[merged[0][0]] == level[merged[-1][0]]:
        merged[0] += merged.pop()
    if len(merged) < 4:
        return None
    lines = [(level[group[0]], np.average(middles[group, 1 if level[group[0]] else 0], weights=lengths[group]))
             for group in merged]
    return np.array([(other[1], line[1]) if line[0] else (line[1], other[1])
                     for line, other in zip(lines, lines[1:] + lines[:1])])


# By the value of --outline; what each does to the outline of pixels.
OUTLINES: dict[str, Callable[[Polygon], Polygon]] = dict(
    pixels=lambda polygon: polygon, simple=simplify_outline, square=square_outline)
