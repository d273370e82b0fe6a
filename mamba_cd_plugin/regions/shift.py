"""Whether the two dates of a region lie on each other: their shift, measured in a few places."""
from collections.abc import Sequence

import numpy as np

from ..inference.pairs import Span, Window
from ..preparation.check.findings import Limits
from ..preparation.check.registration import Shift, measure_shift
from .blocks import BlockTask, Job, as_stretches
from .grid import block_name
from .mosaic import MosaicPair

# A shift of the whole region shows in a few places; each takes a second and the reading.
PLACES = 9
SIDE = 1024
# With less ground that both dates show, a place says nothing.
LEAST_VALID = 0.5
# Pixels from which a shift is worth a warning: the edges of buildings then become changes.
WORTH_SAYING = 1.


def measure_places(job: Job, tasks: Sequence[BlockTask]) -> dict[tuple[int, int], Shift]:
    """The shift of B against A in the middle of some blocks, where it can be measured for certain.

    Args:
        job: What the blocks have in common.
        tasks: All blocks; some that are spread over them are taken.

    Returns:
        By the block the shift in pixels; none for a block without enough data, or whose rasters cannot be read.
    """
    found = {}
    for number in np.unique(np.linspace(0, len(tasks) - 1, min(PLACES, len(tasks))).astype(int)):
        task = tasks[number]
        block = job.grid.window(task.row, task.column)
        try:
            with MosaicPair(job.grid, task.a, task.b, job.reading, as_stretches(job.stretches)) as pair:
                tile = pair.read(Window(_middle(block.rows), _middle(block.columns)))
        except (OSError, ValueError):  # the block itself will say so
            continue
        if tile.valid.mean() < LEAST_VALID:
            continue
        shift = measure_shift(tile.pair[..., :3], tile.pair[..., 3:], ~tile.valid)
        if shift is not None and shift.certainty >= Limits().min_certainty:
            found[task.row, task.column] = shift
    return found


def _middle(span: Span) -> Span:
    start = span.start + max(span.stop - span.start - SIDE, 0) // 2
    return Span(start, min(start + SIDE, span.stop))


def describe_shift(job: Job, tasks: Sequence[BlockTask]) -> list[str]:
    """What to tell the user about the shift; see :func:`measure_places`."""
    shifts = measure_places(job, tasks)
    if not shifts:
        return ['shift: in no place could it be measured whether the dates lie on each other']
    dx, dy = np.median([(shift.dx, shift.dy) for shift in shifts.values()], axis=0)
    worst = max(shifts, key=lambda block: shifts[block].distance)
    farthest = shifts[worst].distance
    said = (f'shift: B lies {dx:+.1f} px to the right and {dy:+.1f} px down of A in the median of {len(shifts)} '
            f'places, at most {farthest:.1f} px (block {block_name(*worst)})')
    if farthest < WORTH_SAYING:
        return [said]
    return [f'{said}. Such a shift is predicted as change along the edges of buildings; register the dates first']
