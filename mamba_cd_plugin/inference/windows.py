"""Where the windows of a large image lie, and how much each counts at every pixel."""
from typing import Iterator, NamedTuple, Optional

import numpy as np

# Windows start at multiples of the encoder's deepest stride, so that every window downsamples the same pixels together
# as the whole image would.
ALIGN = 32


class Span(NamedTuple):
    """A stretch of one axis, in pixels."""
    start: int
    stop: int


class Window(NamedTuple):
    """A rectangle of the image, in pixels of its grid."""
    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def axis_spans(size: int, tile: int, overlap: int, align: int = ALIGN) -> list[Span]:
    """Cover one axis by spans of ``tile`` pixels that overlap by ``overlap``.

    The last span ends with the axis. It starts early enough to be whole, and is longer by up to ``align - 1`` pixels
    where its start would not be aligned; an axis shorter than a tile is one span.

    Args:
        size: Length of the axis.
        tile: Length of a span.
        overlap: Pixels that neighbours share; the last two share more.
        align: Every start is a multiple of it.
    """
    if size <= tile:
        return [Span(0, size)]
    last = (size - tile) // align * align
    starts = [*range(0, last, tile - overlap), last]
    return [Span(start, start + tile) for start in starts[:-1]] + [Span(last, size)]


def axis_weights(spans: list[Span], size: int, overlap: int, margin: int) -> list[np.ndarray]:
    """The weight of each span at each of its pixels; over all spans the weights of a pixel add up to 1.

    Towards a neighbour a span counts nothing in its outermost ``margin`` pixels, where a model lacks context, and then
    gains weight along a cosine. Towards the border of the image it counts fully: there is nothing beyond.

    Args:
        spans: From :func:`axis_spans`.
        size: Length of the axis.
        overlap: Pixels that neighbours share.
        margin: Pixels without weight.
    """
    raw, total = [], np.zeros(size)
    for start, stop in spans:
        pixels = np.arange(start, stop) + 0.5
        from_start = pixels - start if start > 0 else np.full(stop - start, np.inf)
        from_stop = stop - pixels if stop < size else np.full(stop - start, np.inf)
        ramp = np.clip((np.minimum(from_start, from_stop) - margin) / (overlap - 2 * margin), 0, 1)
        raw.append(np.sin(ramp * np.pi / 2)**2)
        total[start:stop] += raw[-1]
    return [(weight / total[start:stop]).astype(np.float32) for weight, (start, stop) in zip(raw, spans)]


class WindowGrid:
    """Overlapping windows over an image, row by row, with weights that are separable and add up to 1 at every pixel.

    Args:
        height: Of the image.
        width: Of the image.
        tile: Side of a window.
        overlap: Pixels that neighbours share.
        align: Every window starts at a multiple of it.

    Raises:
        ValueError: If tile and overlap do not fit together.
    """

    def __init__(self, height: int, width: int, tile: int, overlap: int, align: int = ALIGN) -> None:
        if overlap < 4 or 2 * overlap > tile or (tile - overlap) % align:
            raise ValueError(f'a tile of {tile} and an overlap of {overlap} pixels do not fit together: the overlap '
                             f'must be 4 pixels to half a tile, and tile - overlap a multiple of {align}')
        self.height, self.width = height, width
        self.rows = axis_spans(height, tile, overlap, align)
        self.columns = axis_spans(width, tile, overlap, align)
        margin = overlap // 4  # half of the overlap is left for the transition
        self.row_weights = axis_weights(self.rows, height, overlap, margin)
        self.column_weights = axis_weights(self.columns, width, overlap, margin)

    def batches(self, row: int, batch_size: int) -> Iterator[list[int]]:
        """Columns of one row of windows in groups of one shape; always the same groups for the same numbers."""
        group: list[int] = []
        for column, (start, stop) in enumerate(self.columns):
            same = not group or stop - start == self.columns[group[0]].stop - self.columns[group[0]].start
            if group and (len(group) == batch_size or not same):
                yield group
                group = []
            group.append(column)
        yield group

    def window(self, row: int, column: int) -> Window:
        """The window in a row and column."""
        return Window(self.rows[row], self.columns[column])

    def rows_done_by(self, row: int) -> int:
        """How many image rows, from the top of a row of windows, no later row of windows touches."""
        start, stop = self.rows[row]
        return (self.rows[row + 1].start if row + 1 < len(self.rows) else stop) - start


class RowStitcher:
    """Adds up the windows of one row of windows after the other; holds no more of the image than that row.

    Args:
        grid: Where the windows lie.
        row: The row of windows to begin with.
        carry: What the row before left over for it (h, W), see :meth:`finish_row`; None for the first.
    """

    def __init__(self, grid: WindowGrid, row: int = 0, carry: Optional[np.ndarray] = None) -> None:
        self.grid = grid
        self._start(row, np.zeros((0, grid.width), np.float32) if carry is None else carry)

    def _start(self, row: int, carry: np.ndarray) -> None:
        self.row = row
        height = self.grid.rows[row].stop - self.grid.rows[row].start
        self._valid = np.zeros((height, self.grid.width), bool)
        self._sums = np.zeros((height, self.grid.width), np.float32)
        self._sums[:len(carry)] = carry

    def add(self, column: int, values: Optional[np.ndarray], valid: np.ndarray) -> None:
        """Add one window of this row.

        Args:
            column: Of the window.
            values: (h, w); None where the window has no data.
            valid: Where it has data (h, w).
        """
        place = slice(*self.grid.columns[column])
        self._valid[:, place] = valid
        if values is not None:
            weights = self.grid.row_weights[self.row][:, None] * self.grid.column_weights[column]
            self._sums[:, place] += values * weights

    def finish_row(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Close this row and begin the next.

        Returns:
            The values of the image rows that no later row of windows touches (h, W), where they have data (h, W), and
            what is carried to the next row.
        """
        done = self.grid.rows_done_by(self.row)
        values, carry = self._sums[:done], self._sums[done:]
        valid = self._valid[:done]
        if self.row + 1 < len(self.grid.rows):
            self._start(self.row + 1, carry)
        return values, valid, carry
