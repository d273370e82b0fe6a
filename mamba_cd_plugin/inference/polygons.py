"""From a change mask to polygons with area and mean probability."""
from pathlib import Path
from typing import Iterator

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError
from rasterio import features

from .job import PROBABILITY_STEPS
from .outlines import OUTLINES

# Rows that are rasterised at a time: a strip of a 100,000 px wide image then takes 200 MB.
STRIP_ROWS = 512
LAYER = 'changes'
# The ellipsoid of the areas. National ones differ from it by less than 0.02 %.
ELLIPSOID = Geod(ellps='WGS84')


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


def _geodesic_area(polygon: shapely.Polygon, transformer: Transformer) -> float:
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
