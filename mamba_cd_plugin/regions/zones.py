"""Changed area and number of changes per zone, such as a municipality."""
import logging
from pathlib import Path

import geopandas
import numpy as np
import shapely
from mmengine.logging import print_log
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely import Polygon

from ..inference.polygons import geodesic_areas
from ..io.grids import map_points
from ..io.pictures import shorten
from .grid import RegionGrid

# Columns that are taken for the name of a zone, whatever their case.
NAME_COLUMNS = ('name', 'nam', 'id', 'code')
# A straight side in one CRS is bent in another. Cut into so many, that of a region of 100 km bends by a centimetre.
SIDE_PARTS = 256
# Around the region by this share of its sides, zones are kept; changes lie within the region.
MARGIN = 0.1
# A change of CRS moves the corners of a zone, but hardly its area: one that differs by more was torn apart.
TORN = 0.01
# In metres: what is wider in a projected CRS goes around more than half of the Earth, or nearly.
HALF_EQUATOR = 2e7


class Zones:
    """Adds changes up by the zones of a file.

    A change is counted where its centre lies, or a point within it where that is outside of it, so that each is counted
    once where zones do not overlap. Its area is shared out exactly among the zones that it reaches into.

    Zones may be of any size, up to the whole world: only what lies around the region is brought into its CRS. A side
    that spans more than 180 degrees of longitude goes the short way; one of 360 degrees goes all around.

    Args:
        path: A file of polygons that GDAL or geopandas reads, in any CRS.
        grid: Grid of the region, which has a CRS.
        column: Names the zones; by default the first of :data:`NAME_COLUMNS` that is there, or the number of the row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be used.
    """

    def __init__(self, path: Path, grid: RegionGrid, column: str | None = None) -> None:
        if not path.is_file():
            raise FileNotFoundError(f'--zones {path} does not exist')
        try:
            read = geopandas.read_parquet if 'parquet' in path.suffix.lower() else geopandas.read_file
            table = read(path)
        except Exception as error:  # pyarrow and pyogrio have no common base
            raise ValueError(f'--zones {path}: cannot be read as polygons ({error})') from error
        kinds = set(table.geom_type.dropna()) if isinstance(table, geopandas.GeoDataFrame) else set()  # such as a CSV
        if not kinds or not kinds <= {'Polygon', 'MultiPolygon'}:
            raise ValueError(f'--zones {path}: expected polygons, got {", ".join(sorted(kinds)) or "nothing"}')
        if table.crs is None:
            raise ValueError(f'--zones {path}: has no CRS, so it cannot be known where its zones lie')
        table = table[~(table.geometry.isna() | table.geometry.is_empty)]  # rows of a table that were never drawn
        self.names = self._names(path, table, column)
        crs = CRS.from_wkt(grid.crs)
        shapes = shapely.force_2d(table.geometry.to_numpy())  # those of KML have heights
        shapes = _polygons(_unwrap(shapes) if table.crs.is_geographic else shapes)
        self.areas = _areas(shapes, table.crs)
        flat = [name for name, shape in zip(self.names, shapes) if shape.is_empty]
        if flat:
            print_log(f'--zones {path}: {len(flat)} have no area and get no changes, as what was brought into a CRS '
                      f'that does not reach so far: {shorten(flat)}', 'current', logging.WARNING)
        try:
            self.shapes = (shapes if table.crs == crs and not crs.is_geographic else
                           _bring(shapes, table.crs, grid, crs))
        except ProjError as error:
            raise ValueError(f'--zones {path}: cannot be brought into the CRS of the region ({error})') from error
        torn = [name for name, shape in zip(self.names, self.shapes) if shape is None]
        if torn:
            raise ValueError(f'--zones {path}: zone {torn[0]!r} cannot be brought into the CRS of the region '
                             f'({crs.name}), which does not reach so far. Cut it to the surroundings of the region: '
                             'ogr2ogr -clipsrc')
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


def _unwrap(shapes: np.ndarray) -> np.ndarray:
    """Zones in degrees, with longitudes beyond 180 where a side crosses the antimeridian."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    for index in np.flatnonzero(_widths(parts) > 180):
        sides = np.abs(np.diff(shapely.get_coordinates(parts[index].exterior)[:, 0]))
        if ((sides > 180) & (sides < 360)).any():
            parts[index] = shapely.transform(parts[index], lambda xy: xy + (xy < 0) * (360, 0))
    return shapely.multipolygons(parts, indices=owner)


def _polygons(shapes: np.ndarray) -> np.ndarray:
    """Valid polygons or multipolygons. Of a ring that crosses itself there may also be lines, which have no area."""
    return np.array([shapely.union_all([part for part in shapely.get_parts(shape) if isinstance(part, Polygon)])
                     for shape in shapely.make_valid(shapes)], object)


def _areas(shapes: np.ndarray, crs: CRS) -> np.ndarray:
    """Areas of zones in square metres on the ellipsoid, whose sides are straight in their own CRS."""
    shapes = _with_points(shapes)
    areas = geodesic_areas(shapes, crs)
    # A ring has an inside and an outside, and which is which is only clear of one around less than half of the Earth.
    degrees = CRS.from_epsg(4326)
    quarters = np.array([shapely.box(west, -90, west + 90, 90) for west in range(-360, 720, 90)])
    for index in np.flatnonzero(_widths(shapes) > (180 if crs.is_geographic else HALF_EQUATOR)):
        shape = shapes[index]
        if not crs.is_geographic:  # such as Web Mercator
            shape = geopandas.GeoSeries([shape], crs=crs).to_crs(degrees).iloc[0]
        areas[index] = geodesic_areas(_with_points(_polygons(shapely.intersection(shape, quarters))), degrees).sum()
    return areas


def _widths(shapes: np.ndarray) -> np.ndarray:
    return np.ptp(shapely.bounds(shapes).reshape(-1, 4)[:, [0, 2]], axis=1)


def _with_points(shapes: np.ndarray) -> np.ndarray:
    """Shapes with points along their sides, which bend with them in another CRS."""
    longest = np.ptp(shapely.bounds(shapes).reshape(-1, 2, 2), axis=1).max(axis=1)
    return shapely.segmentize(shapes, np.where(longest > 0, longest, 1) / SIDE_PARTS)


def _moved(shapes: np.ndarray, aside: float) -> np.ndarray:
    return shapely.transform(shapes, lambda xy: xy + (aside, 0)) if aside else shapes


def _bring(shapes: np.ndarray, crs: CRS, grid: RegionGrid, region_crs: CRS) -> np.ndarray:
    """What of zones lies around a region, in its CRS; None for each that cannot be brought there."""
    corners = map_points(grid.affine, np.array([(0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height)]))
    back = Transformer.from_crs(region_crs, crs, always_xy=True)
    west, south, east, north = back.transform_bounds(*corners.min(axis=0), *corners.max(axis=0))
    if np.isfinite([west, south, east, north]).all():
        east += 360 * (east < west and crs.is_geographic)  # pyproj's way to say that it crosses the antimeridian
        aside, above = MARGIN * (east - west), MARGIN * (north - south)
        around = shapely.box(west - aside, south - above, east + aside, north + above)
        # Longitudes may be counted from 0 to 360, or beyond the antimeridian: they become those of the region.
        turns = (-360, 0, 360) if crs.is_geographic else (0, )
        shapes = _polygons(shapely.union_all(
            [shapely.intersection(_moved(shapes, turn), around) for turn in turns], axis=0))
    shapes = _with_points(shapes)
    brought = geopandas.GeoSeries(shapes, crs=crs).to_crs(region_crs).to_numpy()
    # Those that are torn have sides through infinity, or across the whole plane.
    whole = np.isclose(_areas(brought, region_crs), _areas(shapes, crs), rtol=TORN)
    return np.where(whole, _polygons(np.where(whole, brought, Polygon())), None)
