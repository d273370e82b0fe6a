"""Polygons that lie in several blocks become one: a building on a seam is one building."""
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet
import shapely
from shapely import Polygon

from ..inference.splitting import PixelPolygons
from ..io.grids import map_points
from .grid import POLYGONS, RegionGrid, block_folder

Block = tuple[int, int]
# Sides of a block: what comes before it in the order of blocks, and what comes after it.
_ABOVE, _LEFT, _RIGHT, _BELOW = (-1, 0), (0, -1), (0, 1), (1, 0)


class BlockPolygons(NamedTuple):
    """The polygons of one block.

    Attributes:
        polygons: Polygons in (column, row) of the region, not of the block.
        touches_edge: Whether each reaches the border of the block, bool (N,).
    """
    polygons: PixelPolygons
    touches_edge: np.ndarray


def read_block(out: Path, grid: RegionGrid, block: Block) -> BlockPolygons:
    """The polygons that a block left.

    Raises:
        ValueError: If the file is not what a block leaves.
    """
    path = block_folder(out, *block) / POLYGONS
    try:
        # Not by geopandas, which takes longer to understand the CRS of every block than to read its polygons.
        table = pyarrow.parquet.read_table(path, columns=['geometry', 'pixels', 'probability_sum', 'touches_edge'])
        geometry, *columns = (column.to_numpy() for column in table.columns)
        shapes = shapely.from_wkb(geometry)
    except (OSError, ValueError, shapely.GEOSException) as error:
        raise ValueError(f'{path}: cannot be read as the polygons of a block ({error}). Delete the folder of the block '
                         'and run the same command again') from error
    inverse = ~grid.affine
    # Corners of pixels are whole numbers.
    shapes = shapely.transform(shapes, lambda xy: np.rint(map_points(inverse, xy)))
    return BlockPolygons(PixelPolygons(shapely.normalize(shapes), *columns[:2]), columns[2].astype(bool))


def merge_blocks(grid: RegionGrid, blocks: Iterable[Block],
                 read: Callable[[Block], BlockPolygons]) -> Iterator[PixelPolygons]:
    """Merge polygons that share the side of a pixel across a seam, as one prediction of the region would have them.

    Pixels that touch only at a corner stay apart, as within a block. Blocks are read once, row by row. Only polygons at
    seams to blocks that are still to come are held, so that memory grows with a row of blocks and not with the region.

    Args:
        grid: The grid of the region.
        blocks: The finished blocks. Polygons end at a missing one.
        read: Gives the polygons of a block.

    Yields:
        After every block the polygons that are complete by then.
    """
    present = sorted(set(blocks))
    known, seams = set(present), _Seams()
    for row, column in present:
        polygons, touches = read((row, column))
        inside = polygons.take(~touches)
        seams.add(polygons.take(touches))
        window = grid.window(row, column)
        lines = {_ABOVE: (1, window.rows.start), _LEFT: (0, window.columns.start),
                 _RIGHT: (0, window.columns.stop), _BELOW: (1, window.rows.stop)}
        for (down, right), (axis, place) in lines.items():
            if (row + down, column + right) in known:
                name = (axis, place, row if axis == 0 else column)
                seams.meet(name, axis, place, first=(down, right) in (_RIGHT, _BELOW))
        yield _concatenate([inside, *seams.release()])


class _Seams:
    """The polygons that wait for their other parts, in groups of those that belong together."""

    def __init__(self) -> None:
        self.parts: dict[int, PixelPolygons] = {}
        self.group: dict[int, int] = {}  # of each part; a group is called by one of its parts
        self.members: dict[int, list[int]] = {}
        self.open: dict[int, int] = {}  # seams, counted once per part, at which a group may still grow
        self.waiting: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}
        self.next = 0
        self.latest = range(0)

    def add(self, polygons: PixelPolygons) -> None:
        """Take the polygons at the border of a block, whose seams come next."""
        self.latest = range(self.next, self.next + len(polygons.shapes))
        self.next = self.latest.stop
        for i, number in enumerate(self.latest):
            self.parts[number] = polygons.take(np.array([i]))
            self.group[number], self.members[number], self.open[number] = number, [number], 0

    def meet(self, name: tuple, axis: int, place: int, first: bool) -> None:
        """Bring the latest polygons to a seam: the first side waits there, the second is merged with it.

        Args:
            name: Name of the seam.
            axis: 0 where the seam has one column, 1 where it has one row.
            place: That column or row.
            first: Whether the block on the other side is still to come.
        """
        places, numbers = self._on_line(axis, place)
        if first:
            self.waiting[name] = places, numbers
            for number in np.unique(numbers):
                self.open[self.group[int(number)]] += 1
            return
        other_places, other_numbers = self.waiting.pop(name)
        _, here, there = np.intersect1d(places, other_places, return_indices=True)
        for one, other in np.unique(np.stack([numbers[here], other_numbers[there]], 1), axis=0):
            self._join(int(one), int(other))
        for number in np.unique(other_numbers):
            self.open[self.group[int(number)]] -= 1

    def _on_line(self, axis: int, place: int) -> tuple[np.ndarray, np.ndarray]:
        """The sides of pixels that the latest polygons have on a line: where each starts, and whose it is."""
        shapes = np.array([self.parts[number].shapes[0] for number in self.latest], object)
        # Holes lie within the block, so the outer rings are enough.
        corners, owner = shapely.get_coordinates(shapely.get_exterior_ring(shapes), return_index=True)
        sides = (owner[1:] == owner[:-1]) & (corners[1:, axis] == place) & (corners[:-1, axis] == place)
        ends = np.sort(np.stack([corners[:-1, 1 - axis], corners[1:, 1 - axis]], 1)[sides], axis=1).astype(np.int64)
        lengths = ends[:, 1] - ends[:, 0]
        steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(ends[:, 0], lengths) + steps, np.repeat(owner[:-1][sides] + self.latest.start, lengths)

    def _join(self, one: int, other: int) -> None:
        small, large = sorted((self.group[one], self.group[other]), key=lambda group: len(self.members[group]))
        if small == large:
            return
        for number in self.members[small]:
            self.group[number] = large
        self.members[large] += self.members.pop(small)
        self.open[large] += self.open.pop(small)

    def release(self) -> list[PixelPolygons]:
        """The groups that cannot grow any more, each as one polygon."""
        complete = [group for group, count in self.open.items() if not count]
        found = []
        for group in sorted(complete, key=lambda group: min(self.members[group])):
            members = sorted(self.members.pop(group))
            del self.open[group]
            found.append(_unite(_concatenate([self.parts.pop(number) for number in members])))
            for number in members:
                del self.group[number]
        return found


def _unite(parts: PixelPolygons) -> PixelPolygons:
    if len(parts.shapes) == 1:
        return parts
    # Exact: the corners are whole numbers and the sides run along the axes.
    whole = without_straight_corners(shapely.union_all(parts.shapes))
    return PixelPolygons(np.array([whole], object), parts.pixels.sum(keepdims=True), parts.sums.sum(keepdims=True))


def without_straight_corners(polygon: Polygon) -> Polygon:
    """A polygon without the corners at which its outline goes straight on, such as those on a seam; in normal form."""
    rings = []
    for ring in (polygon.exterior, *polygon.interiors):
        corners = np.asarray(ring.coords)[:-1]
        before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
        rings.append(corners[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]])
    return shapely.normalize(Polygon(rings[0], rings[1:]))


def _concatenate(parts: list[PixelPolygons]) -> PixelPolygons:
    return PixelPolygons(*(np.concatenate(values) for values in zip(*parts)))


def first_pixels(grid: RegionGrid, shapes: np.ndarray) -> np.ndarray:
    """The number, row * width + column, of the first pixel of each polygon, whatever the blocks: a lasting id.

    Args:
        grid: Grid of the region.
        shapes: Polygons in (column, row) of the region, (N,).

    Returns:
        int64 (N,).
    """
    corners, owner = shapely.get_coordinates(shapely.get_exterior_ring(shapes), return_index=True)
    # Of the topmost corners the leftmost: the upper left corner of a pixel of the polygon.
    order = np.lexsort((corners[:, 0], corners[:, 1], owner))
    first = corners[order][np.unique(owner[order], return_index=True)[1]].astype(np.int64).reshape(-1, 2)
    return first[:, 1] * grid.width + first[:, 0]
