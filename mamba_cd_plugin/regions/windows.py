"""The windows that a block needs. They lie on the grid of the whole region, and so does what is computed."""
from bisect import bisect_left, bisect_right
from contextlib import closing

import numpy as np

from ..inference.job import Strip
from ..inference.models import TileModel
from ..inference.pairs import PairSource, Span, Window
from ..inference.windows import PredictOptions, WindowGrid, predict_windows, to_strip


class BlockWindows:
    """Which windows of a region's grid have a say in a block.

    A window is predicted in the same batch for every block that needs it, since the last bit of a probability can
    depend on what else is in the batch. So it is whole batches that a block needs.

    Args:
        grid: All windows of the region.
        batch_size: Windows per step, the same for every block.
    """

    def __init__(self, grid: WindowGrid, batch_size: int) -> None:
        self.grid = grid
        # Those of every row of windows.
        self._group_of = {column: group for group in grid.batches(batch_size) for column in group}
        self._rows: dict[Span, list[int]] = {}
        self._of_columns: dict[Span, list[list[int]]] = {}

    def rows(self, span: Span) -> list[int]:
        """The rows of windows that count in some rows of pixels."""
        if span not in self._rows:  # a plan asks for each row of blocks as often as it has columns
            self._rows[span] = _counting(self.grid.rows, self.grid.row_weights, span)
        return self._rows[span]

    def groups(self, span: Span) -> list[list[int]]:
        """The batches of one row that have a window that counts in some columns of pixels."""
        if span not in self._of_columns:
            columns = _counting(self.grid.columns, self.grid.column_weights, span)
            groups = (self._group_of[column] for column in columns)
            self._of_columns[span] = list({group[0]: group for group in groups}.values())
        return self._of_columns[span]

    def halo(self, block: Window) -> Window:
        """The pixels of the region that are read for a block."""
        rows, groups = self.rows(block.rows), self.groups(block.columns)
        return Window(Span(self.grid.rows[rows[0]].start, self.grid.rows[rows[-1]].stop),
                      Span(self.grid.columns[groups[0][0]].start, self.grid.columns[groups[-1][-1]].stop))

    def count(self, block: Window) -> int:
        """Number of windows that are predicted for a block."""
        return len(self.rows(block.rows)) * sum(map(len, self.groups(block.columns)))


def _counting(spans: list[Span], weights: list[np.ndarray], span: Span) -> list[int]:
    """The spans of an axis that have weight somewhere in a stretch of it."""
    first = bisect_right([one.stop for one in spans], span.start)
    last = bisect_left([one.start for one in spans], span.stop)
    return [i for i in range(first, last)
            if weights[i][max(span.start - spans[i].start, 0):span.stop - spans[i].start].any()]


def predict_block(source: PairSource, model: TileModel, options: PredictOptions, windows: BlockWindows,
                  block: Window) -> Strip:
    """Predict a block, bit by bit as :func:`~..inference.windows.predict_tiled` predicts it within the region.

    The same windows are added up with the same weights, for each pixel in the same order, whatever the block.

    Args:
        source: The pair on the grid of the region.
        model: The model.
        options: How the model runs, fitted to the model, with a batch size.
        windows: Windows of the region.
        block: Pixels of the block.

    Returns:
        Probability and mask of the block.
    """
    sums, valid = np.zeros(block.shape, np.float32), np.zeros(block.shape, bool)
    grid = windows.grid
    batches = [(row, group) for row in windows.rows(block.rows) for group in windows.groups(block.columns)]
    wanted = ([grid.window(row, column) for column in group] for row, group in batches)
    with model.workers(options.tile) as workers, \
            closing(predict_windows(source, model, options.tta, wanted, workers)) as predicted:
        for (row, group), batch in zip(batches, predicted):
            for column, result in zip(group, batch):
                rows, in_block = _overlap(grid.rows[row], block.rows)
                columns, across_block = _overlap(grid.columns[column], block.columns)
                if rows.start >= rows.stop or columns.start >= columns.stop:
                    continue  # of a batch with another that is needed
                valid[in_block, across_block] |= result.valid[rows, columns]
                if result.values is not None:
                    weights = grid.row_weights[row][rows, None] * grid.column_weights[column][columns]
                    sums[in_block, across_block] += result.values[rows, columns] * weights
    return to_strip(sums, valid, options.threshold)


def _overlap(window: Span, block: Span) -> tuple[slice, slice]:
    """The overlap of two spans, as a slice of the first and of the second."""
    start, stop = max(window.start, block.start), min(window.stop, block.stop)
    return slice(start - window.start, stop - window.start), slice(start - block.start, stop - block.start)
