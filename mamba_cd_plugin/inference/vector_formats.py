"""The formats in which polygons are written, for a pair and for a region; ``vectors.py`` writes them."""
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

LAYER = 'changes'


class VectorFormat(NamedTuple):
    """A format of polygons. A record in :data:`VECTOR_FORMATS` is all that a new one of GDAL needs.

    Attributes:
        choice: The value of ``--polygons``, and the ending of the file.
        driver: GDAL's; None for GeoParquet, which is written without GDAL.
        media_type: For the STAC item of a region.
        what: For ``--help`` and the tables of the documentation.
        options: For GDAL.
        in_degrees: Whether it holds longitude and latitude, whatever the CRS of the images.
    """
    choice: str
    driver: str | None
    media_type: str
    what: str
    options: dict[str, Any] = {}
    in_degrees: bool = False


VECTOR_FORMATS = [
    VectorFormat('gpkg', 'GPKG', 'application/geopackage+sqlite3', f'GeoPackage, layer `{LAYER}`', dict(layer=LAYER)),
    VectorFormat('geojson', 'GeoJSON', 'application/geo+json', 'GeoJSON in longitude and latitude (RFC 7946)',
                 dict(RFC7946='YES'), in_degrees=True),
    VectorFormat('fgb', 'FlatGeobuf', 'application/vnd.flatgeobuf',
                 'FlatGeobuf with a spatial index, which a web map reads part by part'),
    VectorFormat('parquet', None, 'application/vnd.apache.parquet', 'GeoParquet 1.1 with the bounds of each row'),
]


def vector_format(choice: str) -> VectorFormat:
    """The record of a choice."""
    return next(record for record in VECTOR_FORMATS if record.choice == choice)


def check_format(record: VectorFormat, name: str, crs: Any) -> None:
    """Make sure that polygons can be written in a format, before anything is computed.

    Args:
        record: The format.
        name: Name of the pair or the region, for messages.
        crs: rasterio's, of the polygons; None where there is none.

    Raises:
        ImportError: If a package is missing.
        ValueError: If the polygons have no place in longitude and latitude, and the format holds nothing else.
    """
    if find_spec('geopandas') is None:
        raise ImportError("polygons need geopandas: pip install 'mamba_cd_plugin[geo]'; --polygons none does without")
    if record.driver is None and find_spec('pyarrow') is None:
        raise ImportError(f"--polygons {record.choice} needs pyarrow: pip install 'mamba_cd_plugin[regions]'; "
                          '--polygons gpkg does without')
    if not record.in_degrees:
        return
    from ..io.grids import describe_crs, to_degrees
    if crs is None:
        raise ValueError(f'{name}: has no CRS, and GeoJSON holds longitude and latitude. Choose --polygons gpkg')
    if to_degrees(crs, np.zeros(1), np.zeros(1)) is None:
        raise ValueError(f'{name}: is in {describe_crs(crs)}, which has no place on Earth, and GeoJSON '
                         'holds longitude and latitude. Choose --polygons gpkg')
