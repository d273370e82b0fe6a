"""The plan of a region: one grid for all rasters, which blocks of it are predicted, and what each of them reads."""
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import from_origin
from rasterio.warp import calculate_default_transform

from ..inference.pairs import Span, Window
from ..io.grids import SAME_PIXELS, describe_crs, map_points
from .alignment import LARGEST as LARGEST_SHIFT
from .alignment import area_around
from .grid import BORDER, SIDE_POINTS, RegionGrid, moved
from .headers import Raster
from .mosaic import PlacedRaster
from .windows import BlockWindows

# What a warped raster is taken to cover beyond its outline, in pixels: no pixel that it has may be missed. Of a raster
# that is read as it is, a pixel counts whose middle is inside.
WARPED_REACH, DIRECT_REACH = 8., -0.5
# Around the outline of a warped raster, in pixels: bilinear reading reaches one further.
WARP_MARGIN = 2
# Two rasters whose pixels differ by less than this share of their side have the same pixel.
SAME_SIZE = 1e-6
# A resolution that leaves less than one step of the encoder is meant in other units, such as metres instead of degrees.
LEAST_SIDE = 32
# A grid of more is that of a mistake, such as one raster with the wrong CRS; and it is where GDAL's sizes end.
LARGEST_SIDE = 2**31 - 1


class PlacedDate(NamedTuple):
    """The rasters of one date on the grid.

    Attributes:
        rasters: Rasters that lie on the grid, in order of priority.
        windows: Pixels that each raster may cover: top, bottom, left, right (N, 4).
        direct: Whether the pixels of each raster are those of the grid, (N,).
        outlines: Outlines of the rasters in pixels of the grid.
        tree: Spatial index of the ground that they cover, see WARPED_REACH.
    """
    rasters: list[Raster]
    windows: np.ndarray
    direct: np.ndarray
    outlines: np.ndarray
    tree: shapely.STRtree

    def placed(self) -> list[PlacedRaster]:
        """The rasters as :class:`~.mosaic.MosaicPair` wants them."""
        return [PlacedRaster(raster.path, Window(Span(top, bottom), Span(left, right)), direct, raster.cloud)
                for raster, (top, bottom, left, right), direct in zip(self.rasters, self.windows.tolist(),
                                                                      self.direct.tolist())]


class BlockPlan(NamedTuple):
    """The rasters and the area of one block.

    Attributes:
        row, column: Position of the block in the grid of blocks.
        a, b: Indices of the rasters that it reads, in order of priority.
        inside: The part of the block inside the area of interest, in pixels of the grid; None for the whole block.
        around: With ``move_b``, the pixels from which the shift is measured, and the rasters of A and of B on them.
    """
    row: int
    column: int
    a: list[int]
    b: list[int]
    inside: Any
    around: tuple[Window, list[int], list[int]] | None


class Plan(NamedTuple):
    """A region.

    Attributes:
        grid: Pixels and blocks of the region.
        a, b: Rasters of both dates.
        blocks: Row and column of every block that is predicted (N, 2), from the upper left to the lower right.
        gaps: Row and column of blocks that lack an image, keyed by the reason.
        aoi: The area of interest in pixels of the grid, or None.
    """
    grid: RegionGrid
    a: PlacedDate
    b: PlacedDate
    blocks: np.ndarray
    gaps: dict[str, np.ndarray]
    aoi: Any

    def pixels(self) -> int:
        """Number of pixels in all blocks."""
        sides = [np.minimum((self.blocks[:, axis] + 1) * self.grid.block, size) - self.blocks[:, axis] * self.grid.block
                 for axis, size in ((0, self.grid.height), (1, self.grid.width))]
        return int((sides[0].astype(np.int64) * sides[1]).sum())

    def windows(self, windows: BlockWindows) -> int:
        """Number of windows in all blocks; those at seams count for both sides."""
        per_row = {row: len(windows.rows(self.grid.window(row, 0).rows)) for row in set(self.blocks[:, 0].tolist())}
        per_column = {column: sum(map(len, windows.groups(self.grid.window(0, column).columns)))
                      for column in set(self.blocks[:, 1].tolist())}
        return sum(per_row[row] * per_column[column] for row, column in self.blocks.tolist())

    def block_plans(self, windows: BlockWindows, move_b: bool = False) -> Iterator[BlockPlan]:
        """The rasters that each block reads, its surroundings included. No raster is opened.

        Args:
            windows: Windows of the region.
            move_b: Whether B is moved by the shift that is measured.
        """
        grid, rows, columns = self.grid, {}, {}
        for row in set(self.blocks[:, 0].tolist()):
            rows[row] = windows.halo(grid.window(row, 0)).rows
        for column in set(self.blocks[:, 1].tolist()):
            columns[column] = windows.halo(grid.window(0, column)).columns
        halos = np.array([(*columns[column], *rows[row]) for row, column in self.blocks.tolist()]).reshape(-1, 4)
        reach = LARGEST_SHIFT if move_b else 0
        needed = [_by_box(date.tree, _boxes(halos, more)) for date, more in ((self.a, 0), (self.b, reach))]
        inside = self._inside()
        areas: list[Window] = []
        if move_b:
            areas = [area_around(grid, Window(Span(top, bottom), Span(left, right)))
                     for left, right, top, bottom in halos.tolist()]
            sides = np.array([(*columns, *rows) for rows, columns in areas])
            around = [_by_box(date.tree, _boxes(sides)) for date in (self.a, self.b)]
        for number, (row, column) in enumerate(self.blocks.tolist()):
            yield BlockPlan(row, column, needed[0][number], needed[1][number], inside[number],
                            (areas[number], around[0][number], around[1][number]) if move_b else None)

    def _inside(self) -> list[Any]:
        if self.aoi is None:
            return [None] * len(self.blocks)
        boxes = _block_boxes(self.grid, self.blocks)
        shapely.prepare(self.aoi)
        partly = ~shapely.contains(self.aoi, boxes)
        inside: np.ndarray = np.full(len(boxes), None, object)
        inside[partly] = shapely.intersection(boxes[partly], self.aoi)
        return inside.tolist()


def _boxes(sides: np.ndarray, more: float = 0) -> np.ndarray:
    """Rectangles of left, right, top and bottom (N, 4), larger by ``more`` on all sides."""
    return shapely.box(sides[:, 0] - more, sides[:, 2] - more, sides[:, 1] + more, sides[:, 3] + more)


def _by_box(tree: shapely.STRtree, boxes: np.ndarray) -> list[list[int]]:
    """For each box the sorted numbers of the outlines that it meets."""
    box, outline = tree.query(boxes, predicate='intersects')
    order = np.lexsort((outline, box))
    stops = np.searchsorted(box[order], np.arange(len(boxes) + 1))
    numbers = outline[order].tolist()
    return [numbers[start:stop] for start, stop in zip(stops[:-1].tolist(), stops[1:].tolist())]


def make_plan(a: Sequence[Raster], b: Sequence[Raster], block: int, crs: str | None = None,
              resolution: float | None = None, aoi: Path | None = None) -> Plan:
    """Plan a region.

    Args:
        a: Rasters of the earlier date. They decide the grid: it covers all of them.
        b: Rasters of the later date.
        block: Side of a block in pixels.
        crs: CRS of the grid; by default that of most rasters of A.
        resolution: Pixel size in units of the CRS; by default that of most rasters of A.
        aoi: A file of polygons; only what is inside is predicted.

    Raises:
        ValueError: If an argument is wrong, or the rasters have no common ground.
    """
    if block < 1:
        raise ValueError(f'--block: expected the side of a block in pixels, got {block}')
    grid = choose_grid(a, block, crs, resolution)
    placed = [place_rasters(rasters, grid) for rasters in (a, b)]
    area = None if aoi is None else read_area(aoi, grid)
    candidates = _candidates(grid, placed, area)
    boxes = _block_boxes(grid, candidates)
    covered = [np.zeros(len(boxes), bool) for _ in placed]
    for date, found in zip(placed, covered):
        found[np.unique(date.tree.query(boxes, predicate='intersects')[0])] = True
    wanted = np.ones(len(boxes), bool) if area is None else shapely.intersects(area, boxes)
    gaps = {'no image of either date': wanted & ~covered[0] & ~covered[1],
            'no image before': wanted & ~covered[0] & covered[1], 'no image after': wanted & covered[0] & ~covered[1]}
    blocks = candidates[wanted & covered[0] & covered[1]]
    if not len(blocks):
        raise ValueError(f'no block has images of both dates{"" if area is None else f" within {aoi}"}: of '
                         f'{len(a)} rasters before and {len(b)} after none lie in one place. Check their CRS')
    return Plan(grid, placed[0], placed[1], blocks,
                {reason: candidates[which] for reason, which in gaps.items() if which.any()}, area)


def choose_grid(rasters: Sequence[Raster], block: int, crs: str | None, resolution: float | None) -> RegionGrid:
    """The grid that covers rasters, with the CRS and the pixels of most of them, so that most are read as they are.

    Raises:
        ValueError: If the CRS is none, or a raster has no place in it.
    """
    kinds = [(raster.crs, *(f'{raster.transform[i]:.9g}' for i in (0, 1, 3, 4))) for raster in rasters]
    model = rasters[kinds.index(Counter(kinds).most_common(1)[0][0])]  # of equals the first
    own_crs = CRS.from_wkt(model.crs)
    try:
        new_crs = own_crs if crs is None else CRS.from_user_input(crs)
    except CRSError as error:
        raise ValueError(f'--crs {crs}: is no CRS ({error}); expected such as EPSG:32632') from error
    if resolution is not None and not resolution > 0:
        raise ValueError(f'--resolution: expected the side of a pixel in units of the CRS, got {resolution}')
    affine = rasterio.Affine(*model.transform)
    own_size = math.sqrt(abs(affine.determinant))
    if new_crs != own_crs:
        bounds = rasterio.transform.array_bounds(model.height, model.width, affine)
        size = calculate_default_transform(own_crs, new_crs, model.width, model.height, *bounds)[0].a
        size = size if resolution is None else resolution
        affine = from_origin(0, 0, size, size)
    elif resolution is not None and abs(resolution - own_size) > SAME_SIZE * own_size:
        affine = from_origin(0, 0, resolution, resolution)
    points = np.concatenate([_outlines(group, new_crs, affine) for group, _ in _by_crs(rasters)]).reshape(-1, 2)
    left, top = (int(math.floor(value + SAME_PIXELS)) for value in points.min(axis=0))
    right, bottom = (int(math.ceil(value - SAME_PIXELS)) for value in points.max(axis=0))
    height, width = bottom - top, right - left
    if max(height, width) > LARGEST_SIDE:
        raise ValueError(f'the rasters before spread over {height:,} x {width:,} pixels; has one of them the wrong '
                         'CRS?')
    if resolution is not None and max(height, width) < LEAST_SIDE <= max(model.height, model.width):
        raise ValueError(f'--resolution {resolution:g}: gives the region {height} x {width} pixels; expected the side '
                         f'of a pixel in the units of {describe_crs(new_crs)} ({new_crs.units_factor[0]})')
    return RegionGrid(new_crs.to_wkt(), tuple(moved(affine, top, left))[:6], height, width, block)


def _by_crs(rasters: Sequence[Raster]) -> list[tuple[list[Raster], list[int]]]:
    """Rasters by their CRS, with their numbers."""
    groups: dict[str, list[int]] = {}
    for number, raster in enumerate(rasters):
        groups.setdefault(raster.crs, []).append(number)
    return [([rasters[number] for number in numbers], numbers) for numbers in groups.values()]


def _outlines(rasters: Sequence[Raster], crs: CRS, affine: rasterio.Affine) -> np.ndarray:
    """Points around rasters of one CRS, in pixels of a grid (N, points, 2), column and row."""
    sizes = np.array([(raster.width, raster.height) for raster in rasters])[:, :, None] * BORDER.T
    maps = np.array([raster.transform for raster in rasters]).reshape(-1, 2, 3)
    points = np.einsum('nij,njp->nip', maps[:, :, :2], sizes) + maps[:, :, 2:]
    own = CRS.from_wkt(rasters[0].crs)
    if own != crs:
        try:
            transformer = Transformer.from_crs(own.to_wkt(), crs.to_wkt(), always_xy=True)
        except ProjError as error:
            raise ValueError(f'{rasters[0].path}: is in {describe_crs(own)}, and no way from there to '
                             f'{describe_crs(crs)} is known') from error
        points = np.stack(transformer.transform(points[:, 0], points[:, 1]), axis=1)
        lost = ~np.isfinite(points).all(axis=(1, 2))
        if lost.any():
            raise ValueError(f'{rasters[int(np.argmax(lost))].path}: lies where {describe_crs(crs)} has no '
                             'coordinates. Is its CRS right? Else choose another --crs')
    inverse = np.array(tuple(~affine)[:6]).reshape(2, 3)
    return (np.einsum('ij,njp->nip', inverse[:, :2], points) + inverse[:, 2:]).transpose(0, 2, 1)


def place_rasters(rasters: Sequence[Raster], grid: RegionGrid) -> PlacedDate:
    """Place rasters on a grid; rasters outside of it are dropped.

    Raises:
        ValueError: If one has no place in the CRS of the grid.
    """
    crs, count = grid.rasterio_crs, len(rasters)
    points, direct = np.zeros((count, 4 * (SIDE_POINTS - 1), 2)), np.zeros(count, bool)
    for group, numbers in _by_crs(rasters):
        points[numbers] = _outlines(group, crs, grid.affine)
        if CRS.from_wkt(group[0].crs) == crs:
            direct[numbers] = _is_direct(points[numbers], group)
    low, high = points.min(axis=1), points.max(axis=1)
    low = np.where(direct[:, None], np.rint(low), np.floor(low) - WARP_MARGIN)
    high = np.where(direct[:, None], np.rint(high), np.ceil(high) + WARP_MARGIN)
    # Also what lies beside the grid: the window of a raster that is read as it is says where it begins, and others may
    # be moved.
    windows = np.stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]], axis=1)
    kept = ((high > 0) & (low < (grid.width, grid.height))).all(axis=1)
    outlines = shapely.polygons(points[kept])
    covered = shapely.buffer(outlines, np.where(direct[kept], DIRECT_REACH, WARPED_REACH), join_style='mitre')
    return PlacedDate([raster for raster, keep in zip(rasters, kept) if keep], windows[kept].astype(np.int64),
                      direct[kept], outlines, shapely.STRtree(covered))


def _is_direct(points: np.ndarray, rasters: Sequence[Raster]) -> np.ndarray:
    """Whether the pixels of rasters are those of the grid, to the hundredth of a pixel over their whole length."""
    corners = points[:, ::SIDE_POINTS - 1]  # upper left, upper right, lower right, lower left
    sizes = np.array([(raster.width, raster.height) for raster in rasters])
    wanted = np.rint(corners[:, :1]) + sizes[:, None] * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    return np.abs(corners - wanted).max(axis=(1, 2)) < SAME_PIXELS


def read_area(path: Path, grid: RegionGrid) -> Any:
    """The polygons of a file as one shape in pixels of a grid.

    Raises:
        FileNotFoundError, ValueError: If it cannot be read, or holds no polygon.
    """
    import geopandas
    if not path.is_file():
        raise FileNotFoundError(f'--aoi {path}: does not exist')
    try:
        is_parquet = 'parquet' in path.suffix.lower()
        table = geopandas.read_parquet(path) if is_parquet else geopandas.read_file(path)
    except Exception as error:  # pyogrio and pyarrow have no common base
        raise ValueError(f'--aoi {path}: cannot be read ({error}); expected polygons, such as GeoJSON') from error
    if table.crs is None:
        raise ValueError(f'--aoi {path}: has no CRS, so it cannot be known where it lies')
    shapes = table.geometry[table.geometry.geom_type.isin(('Polygon', 'MultiPolygon'))]
    if not len(shapes):
        raise ValueError(f'--aoi {path}: holds no polygon')
    area = shapely.make_valid(shapely.union_all(shapes.make_valid().to_crs(grid.rasterio_crs.to_wkt()).values))
    return shapely.transform(area, partial(map_points, ~grid.affine))


def _candidates(grid: RegionGrid, dates: Sequence[PlacedDate], area: Any) -> np.ndarray:
    """Row and column (N, 2) of the blocks of a region, in their order: where a raster or the area may be."""
    ranges = np.concatenate([date.windows for date in dates])
    if area is not None:
        left, top, right, bottom = area.bounds
        ranges = np.array([(top, math.ceil(bottom), left, math.ceil(right))])
    limits = np.array([grid.height, grid.height, grid.width, grid.width])
    ranges = np.clip(ranges, 0, limits).astype(np.int64)
    rows, columns = grid.shape
    found: set[int] = set()
    for top, bottom, left, right in ranges.tolist():
        across = np.arange(left // grid.block, -(-right // grid.block))
        down = np.arange(top // grid.block, -(-bottom // grid.block))
        found.update((down[:, None] * columns + across).ravel().tolist())
    numbers = np.array(sorted(found), np.int64)
    return np.stack([numbers // columns, numbers % columns], axis=1) if columns else np.zeros((0, 2), np.int64)


def _block_boxes(grid: RegionGrid, blocks: np.ndarray) -> np.ndarray:
    top, left = blocks[:, 0] * grid.block, blocks[:, 1] * grid.block
    return shapely.box(left, top, np.minimum(left + grid.block, grid.width),
                       np.minimum(top + grid.block, grid.height))
