"""A table of polygons as a file of any of the formats."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio import Affine

from ..io.files import not_written
from .polygons import PolygonGrid
from .vector_formats import VectorFormat


def write_polygons(polygons: geopandas.GeoDataFrame, path: Path, record: VectorFormat, date: str) -> None:
    """Write polygons at once, in their own CRS or in degrees.

    Args:
        polygons: Output of :func:`~.polygons.vectorize`.
        path: Path of the file.
        record: Its format.
        date: See :func:`written_by_gdal`.

    Raises:
        OSError: If it cannot be written completely.
    """
    if record.driver is None:
        from .geoparquet import parquet_sink  # pyarrow is large, and only this format needs it
        with parquet_sink(path, PolygonGrid(Affine.identity(), polygons.crs)) as sink:
            sink.add(polygons)
        return
    if record.in_degrees and polygons.crs is not None:
        polygons = polygons.to_crs('EPSG:4326')
    with written_by_gdal(path, len(polygons), date):
        # An empty layer has no polygon to tell the type.
        polygons.to_file(path, driver=record.driver, engine='pyogrio', geometry_type='Polygon', **record.options)


@contextmanager
def written_by_gdal(path: Path, count: int, date: str) -> Iterator[None]:
    """Let GDAL write a file of features inside, and see that it did.

    Args:
        path: Path of the file.
        count: Features that it must have.
        date: ISO time that a GeoPackage gives as its last change. The current time would make two runs differ.

    Raises:
        OSError: If it could not be written completely.
    """
    pyogrio.set_gdal_config_options({'OGR_CURRENT_DATE': date})
    try:
        yield
        # As for rasters, GDAL need not report a full disk, so the file itself is asked.
        written = pyogrio.read_info(path, force_feature_count=True)['features']
    except (DataSourceError, DataLayerError) as error:
        raise not_written(path, error) from error
    finally:
        pyogrio.set_gdal_config_options({'OGR_CURRENT_DATE': None})
    if written != count:
        raise not_written(path)
