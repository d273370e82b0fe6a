"""The shift of B against A over a region, measured cell by cell, by which ``--align`` moves B.

Cells lie on one lattice over the whole region, and what is measured in a cell depends on its pixels only. So the shift
of a window is the same whichever block it is predicted for, and whoever makes that block.
"""
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..inference.pairs import PairTile, Span, Window
from ..preparation.check.findings import Limits
from ..preparation.check.registration import Shift, measure_shift
from .grid import RegionGrid

# Side of a cell in pixels. For pairs of real dates 96 % of shifts are measured right in images of this size, and 84 %
# in those of half of it, see Limits.min_matched.
CELL = 512
# Cells whose middle lies within this distance of that of a window, in pixels, have a say in its shift: about seven.
RADIUS = 768
# Standard deviation of their weights over that distance, in pixels.
SPREAD = 512
# Cells count if they are within this distance of the median of all that are sure, in pixels. One measurement in ten
# misses by half a pixel, and B may be turned a little against A.
AGREEMENT = 2.
# At least this share of the cells with ground in both dates must be sure and agree; else B stays as it is.
LEAST_AGREEING = 1 / 3
# A cell of which less than this share has data in both dates says nothing.
LEAST_VALID = 0.5
# Longer shifts are refused: so far apart, the dates are of different places or in different datums. In pixels.
LARGEST = 64.
# B is not moved by less than this: interpolation blurs it, and half a pixel is no error of the edges. In pixels.
SMALLEST = 0.5
# Shifts are rounded to this fraction of a pixel, so that neighbouring windows mostly share one, and whole pixels are
# read without interpolation.
STEPS = 8

Cell = tuple[int, int]
Move = tuple[float, float]
NO_MOVE: Move = (0., 0.)


class ShiftField:
    """The shift of B against A, smoothed over neighbouring cells.

    Args:
        measured: The measurement of each cell, keyed by its row and column; None where the dates share too little
            ground. It must hold all cells of :func:`cells_around` for the windows that are asked for.
    """

    def __init__(self, measured: Mapping[Cell, Shift | None]) -> None:
        known = {cell: shift for cell, shift in sorted(measured.items()) if shift is not None}
        self._middles = (np.array(list(known)).reshape(-1, 2) + 0.5) * CELL
        self._shifts = np.array([(shift.dx, shift.dy) for shift in known.values()]).reshape(-1, 2)
        self._sure = np.array([shift.certainty >= Limits().min_certainty and shift.distance <= LARGEST
                               for shift in known.values()], bool)

    def measured(self, window: Window) -> Move | None:
        """The shift of B against A in a window, to the right and down in pixels; None where it is not certain."""
        middle = [(span.start + span.stop) / 2 for span in window]
        squares = ((self._middles - middle)**2).sum(axis=1)
        near = squares <= RADIUS**2
        sure = near & self._sure
        if not sure.any():
            return None
        median = np.median(self._shifts[sure], axis=0)
        sure &= np.hypot(*(self._shifts - median).T) <= AGREEMENT
        if not sure.any() or sure.sum() < LEAST_AGREEING * near.sum():
            return None
        dx, dy = np.average(self._shifts[sure], axis=0, weights=np.exp(-squares[sure] / (2 * SPREAD**2)))
        return float(dx), float(dy)

    def move(self, window: Window) -> Move:
        """The move of B for a window: the measured shift, rounded; no move where it is short or not certain."""
        return as_move(self.measured(window) or NO_MOVE)

    def has_ground(self, window: Window) -> bool:
        """Whether any cell near a window has ground in both dates."""
        middle = [(span.start + span.stop) / 2 for span in window]
        return bool((((self._middles - middle)**2).sum(axis=1) <= RADIUS**2).any())


def as_move(shift: Sequence[float]) -> Move:
    """The move of B for a measured shift: rounded, and no move for a short one."""
    dx, dy = shift
    if np.hypot(dx, dy) < SMALLEST:
        return NO_MOVE
    return round(dx * STEPS) / STEPS, round(dy * STEPS) / STEPS


def cells_around(grid: RegionGrid, halo: Window) -> list[Cell]:
    """Row and column of all cells that may have a say in windows within ``halo``."""
    ranges = [range(max(span.start - RADIUS, 0) // CELL, -(-min(span.stop + RADIUS, size) // CELL))
              for span, size in zip(halo, (grid.height, grid.width))]
    return [(row, column) for row in ranges[0] for column in ranges[1]]


def area_around(grid: RegionGrid, halo: Window) -> Window:
    """The pixels of :func:`cells_around`."""
    cells = cells_around(grid, halo)
    first, last = cell_window(grid, cells[0]), cell_window(grid, cells[-1])
    return Window(*(Span(one.start, other.stop) for one, other in zip(first, last)))


def cell_window(grid: RegionGrid, cell: Cell) -> Window:
    """The pixels of a cell; the last ones of the region may be smaller."""
    return Window(*(Span(index * CELL, min((index + 1) * CELL, size))
                    for index, size in zip(cell, (grid.height, grid.width))))


def measure_field(grid: RegionGrid, halo: Window, read: Callable[[Window], PairTile | None]) -> ShiftField:
    """Measure what the windows within ``halo`` need.

    Args:
        grid: Grid of the region.
        halo: Pixels of the region that are read for a block.
        read: Reads a part of the pair, B as it is; None where one date has no raster.

    Raises:
        OSError, ValueError: If a raster cannot be read.
    """
    return ShiftField({cell: measure_tile(read(cell_window(grid, cell))) for cell in cells_around(grid, halo)})


def measure_tile(tile: PairTile | None) -> Shift | None:
    """The shift within a part of the pair; None where the dates share too little ground to measure one."""
    if tile is None or tile.valid.mean() < LEAST_VALID:
        return None
    return measure_shift(tile.pair[..., :3], tile.pair[..., 3:], ~tile.valid)


class MoveSummary(NamedTuple):
    """How B was moved for the windows of a block, as stored in its manifest.

    Attributes:
        windows: Number of windows with ground in both dates.
        moved: Number of windows for which B was moved.
        refused: Number of windows whose shift was not certain, so that B was not moved.
        median: Median of the measured shifts, to the right and down in pixels; zeros if none is certain.
        largest: Length of the longest shift in pixels.
    """
    windows: int
    moved: int
    refused: int
    median: Sequence[float]
    largest: float


def summarize_moves(field: ShiftField, windows: Iterable[Window]) -> MoveSummary:
    """Sum up the shifts of the windows of a block."""
    windows = [window for window in windows if field.has_ground(window)]
    found = [field.measured(window) for window in windows]
    sure = np.array([one for one in found if one is not None]).reshape(-1, 2)
    moved = sum(as_move(one) != NO_MOVE for one in found if one is not None)
    if not len(sure):
        return MoveSummary(len(windows), 0, len(windows), NO_MOVE, 0.)
    dx, dy = np.median(sure, axis=0)
    return MoveSummary(len(windows), moved, len(found) - len(sure), (round(float(dx), 2), round(float(dy), 2)),
                       round(float(np.hypot(*sure.T).max()), 2))
