"""Changed area and number of changes per zone, such as a municipality."""
from pathlib import Path

import geopandas
import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import ProjError

from ..inference.polygons import geodesic_areas

# Columns that are taken for the name of a zone, whatever their case.
NAME_COLUMNS = ('name', 'nam', 'id', 'code')


class Zones:
    """Adds changes up by the zones of a file.

    A change is counted where its centre lies, or a point within it where that is outside of it, so that each is counted
    once where zones do not overlap. Its area is shared out exactly among the zones that it reaches into.

    Args:
        path: A file of polygons that GDAL or geopandas reads, in any CRS.
        crs: CRS of the region.
        column: Names the zones; by default the first of :data:`NAME_COLUMNS` that is there, or the number of the row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be used.
    """

    def __init__(self, path: Path, crs: CRS, column: str | None = None) -> None:
        if not path.is_file():
            raise FileNotFoundError(f'--zones {path} does not exist')
        try:
            read = geopandas.read_parquet if 'parquet' in path.suffix.lower() else geopandas.read_file
            table = read(path)
        except Exception as error:  # pyarrow and pyogrio have no common base
            raise ValueError(f'--zones {path}: cannot be read as polygons ({error})') from error
        kinds = set(table.geom_type.dropna())
        if not len(table) or not kinds <= {'Polygon', 'MultiPolygon'}:
            raise ValueError(f'--zones {path}: expected polygons, got {", ".join(sorted(kinds)) or "nothing"}')
        if table.crs is None:
            raise ValueError(f'--zones {path}: has no CRS, so it cannot be known where its zones lie')
        table = table[~(table.geometry.isna() | table.geometry.is_empty)]  # rows of a table that were never drawn
        self.names = self._names(path, table, column)
        try:
            shapes = table.to_crs(crs).geometry.to_numpy()
        except ProjError as error:
            raise ValueError(f'--zones {path}: cannot be brought into the CRS of the region ({error})') from error
        # Of a ring that crosses itself this may also give lines, which have no area.
        self.shapes = np.array([shapely.union_all([part for part in shapely.get_parts(shape)
                                                   if part.geom_type == 'Polygon'])
                                for shape in shapely.make_valid(shapes)], object)
        self.areas = geodesic_areas(self.shapes, crs)
        self.tree = shapely.STRtree(self.shapes)
        self.counts, self.changed = np.zeros(len(table), int), np.zeros(len(table))
        self.outside_count, self.outside_area = 0, 0.

    @staticmethod
    def _names(path: Path, table: geopandas.GeoDataFrame, column: str | None) -> list[str]:
        columns = [name for name in table.columns if name != table.geometry.name]
        if column is not None and column not in columns:
            raise ValueError(f'--zones {path}: has no column {column!r}, but {", ".join(columns) or "none"}')
        by_lower = {name.lower(): name for name in columns}
        column = column or next((by_lower[name] for name in NAME_COLUMNS if name in by_lower), None)
        return [str(value) for value in (range(1, len(table) + 1) if column is None else table[column])]

    def add(self, shapes: np.ndarray, areas: np.ndarray) -> None:
        """Add changes.

        Args:
            shapes: Polygons in the CRS of the region.
            areas: Areas of their pixels in square metres.
        """
        if not len(shapes):
            return
        # representative_point is slow and only needed where the centre lies outside, as of an L-shaped house.
        points = shapely.centroid(shapes)
        away = ~shapely.covers(shapes, points)
        points[away] = shapely.point_on_surface(shapes[away])
        inputs, zones = self.tree.query(points, 'intersects')
        np.add.at(self.counts, zones, 1)
        self.outside_count += len(shapes) - len(np.unique(inputs))
        inputs, zones = self.tree.query(shapes, 'intersects')
        shares = shapely.area(shapely.intersection(shapes[inputs], self.shapes[zones])) / shapely.area(shapes)[inputs]
        np.add.at(self.changed, zones, shares * areas[inputs])
        covered = np.bincount(inputs, shares, minlength=len(shapes))
        self.outside_area += float((areas * np.maximum(1 - covered, 0)).sum())

    def result(self) -> list[dict]:
        """One row per zone, in the order of the file."""
        return [dict(name=name, polygons=count, changed_area_m2=round(changed, 2), zone_area_m2=round(area, 2))
                for name, count, changed, area in zip(self.names, *(
                    values.tolist() for values in (self.counts, self.changed, self.areas)))]

    def outside(self) -> dict:
        """Changes outside of all zones."""
        return dict(polygons=self.outside_count, changed_area_m2=round(self.outside_area, 2))
