"""Whether the two dates of a region lie on each other: their shift, measured in a few places."""
from collections.abc import Sequence

import numpy as np

from ..inference.pairs import Span, Window
from ..preparation.check.findings import Limits
from ..preparation.check.registration import Shift
from .alignment import measure_tile
from .grid import block_name
from .job import BlockTask, Job, open_pair

# A shift of the whole region shows in a few places; each takes a second and the reading.
PLACES = 9
SIDE = 1024
# Pixels from which a shift is worth a warning: the edges of buildings then become changes.
WORTH_SAYING = 1.


def measure_places(job: Job, tasks: Sequence[BlockTask]) -> dict[tuple[int, int], Shift]:
    """The shift of B against A in the middle of some blocks, where it can be measured for certain.

    Args:
        job: Settings that all blocks share.
        tasks: All blocks; some that are spread over them are taken.

    Returns:
        The shift in pixels, keyed by block; blocks without enough data or with unreadable rasters are missing.
    """
    found = {}
    for number in np.unique(np.linspace(0, len(tasks) - 1, min(PLACES, len(tasks))).astype(int)):
        task = tasks[number]
        block = job.grid.window(task.row, task.column)
        try:
            with open_pair(job, task.a, task.b) as pair:
                shift = measure_tile(pair.read(Window(_middle(block.rows), _middle(block.columns))))
        except (OSError, ValueError):  # the block itself will say so
            continue
        if shift is not None and shift.certainty >= Limits().min_certainty:
            found[task.row, task.column] = shift
    return found


def _middle(span: Span) -> Span:
    start = span.start + max(span.stop - span.start - SIDE, 0) // 2
    return Span(start, min(start + SIDE, span.stop))


def sum_up_places(shifts: dict[tuple[int, int], Shift]) -> dict:
    """The shifts of :func:`measure_places` for ``summary.json``: lengths in pixels, right and down."""
    if not shifts:
        return dict(aligned=False, places=0)
    dx, dy = np.median([(shift.dx, shift.dy) for shift in shifts.values()], axis=0)
    worst = max(shifts, key=lambda block: shifts[block].distance)
    return dict(aligned=False, places=len(shifts), median=[round(float(dx), 2), round(float(dy), 2)],
                largest=round(shifts[worst].distance, 2), largest_in=block_name(*worst))


def sum_up_blocks(blocks: dict[tuple[int, int], dict]) -> dict:
    """The same for a region whose B was moved, from the ``MoveSummary`` in the manifests of its blocks."""
    counts = {key: sum(one[key] for one in blocks.values()) for key in ('windows', 'moved', 'refused')}
    sure = {block: one for block, one in blocks.items() if one['windows'] > one['refused']}
    if not sure:
        return dict(aligned=True, **counts)
    dx, dy = np.median([one['median'] for one in sure.values()], axis=0)
    worst = max(sure, key=lambda block: sure[block]['largest'])
    return dict(aligned=True, **counts, median=[round(float(dx), 2), round(float(dy), 2)],
                largest=sure[worst]['largest'], largest_in=block_name(*worst))


def describe_shift(found: dict) -> str:
    """The shift in words, from its summary."""
    moved = ''
    if found['aligned']:
        moved = (f'; B was moved for {found["moved"]:,} of {found["windows"]:,} windows, and left as it is for '
                 f'{found["refused"]:,} in which the shift is not sure')
    if 'median' not in found:
        return f'shift: in no place could it be measured whether the dates lie on each other{moved}'
    (dx, dy), places = found['median'], '' if found['aligned'] else f' of {found["places"]} places'
    said = (f'shift: B lies {dx:+.1f} px to the right and {dy:+.1f} px down of A in the median{places}, at most '
            f'{found["largest"]:.1f} px (block {found["largest_in"]}){moved}')
    if found['aligned'] or found['largest'] < WORTH_SAYING:
        return said
    return (f'{said}. Such a shift is predicted as change along the edges of buildings: --align moves B by it, or '
            'register the dates first')
