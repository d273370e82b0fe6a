"""One small picture of a large prediction."""
import math

import numpy as np

from ..visualization.drawing import (
    FALSE_POSITIVE,
    IGNORED,
    PAPER,
    PictureCell,
    TextSpan,
    draw_page,
    mask_picture,
    overlay_picture,
)
from .job import NODATA
from .pairs import PairSource

# Longer side of each of the four images in pixels: together they fill a screen.
SIDE = 900


def draw_overview(source: PairSource, mask: np.ndarray) -> np.ndarray:
    """A and B above, the mask and the mask over B below, shrunk by a whole factor.

    A pixel of the small mask is changed where any pixel below it is: a house must still be seen in a picture of a town.

    Args:
        source: The pair.
        mask: 0, 1 and nodata (H, W); may lie on the disk, it is read in strips.

    Returns:
        uint8 RGB.
    """
    factor = math.ceil(max(mask.shape) / SIDE)
    pair, valid = source.thumbnail(factor)
    small = shrink_mask(mask, factor)
    a, b = (np.where(valid[..., None], image, np.array(PAPER, np.uint8)) for image in (pair[..., :3], pair[..., 3:]))
    title = [TextSpan(f'{source.name}    ', bold=True),
             TextSpan(f'{source.width:,} x {source.height:,} px    changed: {changed_share(mask):.2%} of the pixels '
                      f'with data    1 px here = {factor} px')]
    rows = [[PictureCell(a, 'A (before)'), PictureCell(b, 'B (after)')],
            [PictureCell(mask_picture(small), 'change'), PictureCell(overlay_picture(b, small), 'change over B')]]
    legend = [('predicted as changed', FALSE_POSITIVE)]
    if (small == NODATA).any():
        legend.append(('no data in A or B', IGNORED))
    size = max(11, max(small.shape) // 50)
    return draw_page(rows, title, legend, size, gap=size)


def changed_share(mask: np.ndarray) -> float:
    """The share of changed pixels among those with data; 0 where there are none."""
    counts = count_values(mask)
    return counts[1] / max(counts[0] + counts[1], 1)


def count_values(mask: np.ndarray) -> np.ndarray:
    """How often each of the values 0..255 occurs."""
    return sum((np.bincount(np.array(rows).ravel(), minlength=256) for rows in _strips(mask, 512)), np.zeros(256, int))


def shrink_mask(mask: np.ndarray, factor: int) -> np.ndarray:
    """A mask smaller by a whole factor: changed where any pixel is, nodata where all are."""
    columns = np.arange(0, mask.shape[1], factor)
    small = []
    for rows in _strips(mask, factor):
        changed = np.logical_or.reduceat((rows == 1).any(axis=0), columns)
        missing = np.logical_and.reduceat((rows == NODATA).all(axis=0), columns)
        small.append(np.where(changed, 1, np.where(missing, NODATA, 0)))
    return np.array(small, np.uint8)


def _strips(mask: np.ndarray, rows: int) -> list:
    return [mask[top:top + rows] for top in range(0, len(mask), rows)]
