"""Polygons as GeoParquet, written as they come, so that memory does not grow with their number."""
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow
import pyarrow.parquet
import pyogrio
import shapely

from ..io.files import not_written
from ..version import __version__
from .polygons import PolygonGrid
from .vector_formats import VectorFormat
from .vectors import written_by_gdal

# Polygons in a row group: readers skip whole groups by their bounds, and 20,000 of them take some megabytes.
ROW_GROUP = 20_000
# https://geoparquet.org/releases/v1.1.0, the first with the bounds of each row for readers to skip by.
GEOPARQUET = '1.1.0'
BOUNDS = ('xmin', 'ymin', 'xmax', 'ymax')


class ParquetSink:
    """Writes polygons as GeoParquet, group by group.

    Args:
        path: Path of the file.
        grid: Says the CRS and the unit of areas.
    """

    def __init__(self, path: Path, grid: PolygonGrid) -> None:
        self.path, self.grid = path, grid
        bounds = pyarrow.struct([(name, pyarrow.float64()) for name in BOUNDS])
        self.schema = pyarrow.schema([
            ('id', pyarrow.int64()), (grid.area_column, pyarrow.float64()), ('mean_probability', pyarrow.float64()),
            ('geometry', pyarrow.binary()), ('bbox', bounds)])
        self._writer = pyarrow.parquet.ParquetWriter(path, self.schema, compression='zstd')
        self._waiting: list[pyarrow.Table] = []
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])

    def add(self, table: geopandas.GeoDataFrame) -> None:
        """Take polygons, as :func:`~.polygons.tabulate` gives them."""
        if not len(table):
            return
        shapes = table.geometry.to_numpy()
        bounds = shapely.bounds(shapes)
        self._bounds = np.concatenate([np.minimum(self._bounds[:2], bounds[:, :2].min(0)),
                                       np.maximum(self._bounds[2:], bounds[:, 2:].max(0))])
        columns = [*(pyarrow.array(table[name].to_numpy(), self.schema.field(name).type)
                     for name in self.schema.names[:3]),
                   pyarrow.array(shapely.to_wkb(shapes).tolist(), pyarrow.binary()),
                   pyarrow.StructArray.from_arrays([pyarrow.array(values) for values in bounds.T], BOUNDS)]
        self._waiting.append(pyarrow.Table.from_arrays(columns, schema=self.schema))
        if sum(len(waiting) for waiting in self._waiting) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            with self._named():
                self._writer.write_table(pyarrow.concat_tables(self._waiting), row_group_size=ROW_GROUP)
            self._waiting.clear()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise not_written(self.path, error) from error

    def close(self) -> None:
        """Write the remaining polygons and the GeoParquet metadata.

        Raises:
            OSError: If it cannot be written completely.
        """
        self._flush()
        crs = self.grid.crs
        column: dict[str, Any] = dict(
            encoding='WKB', geometry_types=['Polygon'], crs=None if crs is None else crs.to_json_dict(),
            covering=dict(bbox={name: ['bbox', name] for name in BOUNDS}))
        if np.isfinite(self._bounds).all():
            column['bbox'] = self._bounds.tolist()
        self._writer.add_key_value_metadata({'geo': json.dumps(dict(
            version=GEOPARQUET, primary_column='geometry', columns=dict(geometry=column),
            creator=dict(library='mamba_cd_plugin', version=__version__)))})
        with self._named():
            self._writer.close()


@contextmanager
def parquet_sink(path: Path, grid: PolygonGrid) -> Iterator[ParquetSink]:
    """Context of a :class:`ParquetSink`, closed at the end; after an error its file is closed as it is, incomplete."""
    sink = ParquetSink(path, grid)
    try:
        yield sink
        sink.close()
    finally:
        with suppress(OSError):  # of a full disk, which was said already
            sink._writer.close()


def convert(parquet: Path, path: Path, record: VectorFormat, grid: PolygonGrid, date: str) -> None:
    """Write the polygons of a GeoParquet file in another format.

    Args:
        parquet: File that :class:`ParquetSink` wrote.
        path: Path of the new file.
        record: Its format.
        grid: Says the CRS and the unit of areas.
        date: See :func:`written_by_gdal`.

    Raises:
        OSError: If it cannot be written completely.
    """
    file = pyarrow.parquet.ParquetFile(parquet)
    names = file.schema_arrow.names[:4]
    schema = pyarrow.schema([file.schema_arrow.field(name) for name in names])
    batches = (pyarrow.RecordBatch.from_arrays(batch.columns, schema=schema)
               for batch in file.iter_batches(ROW_GROUP, columns=names))
    with written_by_gdal(path, file.metadata.num_rows, date):
        pyogrio.write_arrow(
            pyarrow.RecordBatchReader.from_batches(schema, batches), path, driver=record.driver,
            geometry_name='geometry', geometry_type='Polygon', crs=None if grid.crs is None else grid.crs.to_wkt(),
            **record.options)
