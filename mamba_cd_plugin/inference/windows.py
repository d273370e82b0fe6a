"""Windows over a large image: where they lie, how they are predicted, and how they are put together again."""
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import NamedTuple

import numpy as np
from mmengine.utils import ProgressBar

from .job import NODATA, Strip, StripSink
from .models import ALIGN, TileModel
from .pairs import PairSource, PairTile, Span, Window


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
        spans: Output of :func:`axis_spans`.
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


def check_windows(tile: int, overlap: int, align: int) -> None:
    """Refuse windows that cannot lie side by side; args as of :class:`WindowGrid`.

    Raises:
        ValueError: If tile and overlap do not fit together.
    """
    if overlap < 4 or 2 * overlap > tile or (tile - overlap) % align:
        raise ValueError(f'a tile of {tile} and an overlap of {overlap} pixels do not fit together: the overlap '
                         f'must be 4 pixels to half a tile, and tile - overlap a multiple of {align}')


class WindowGrid:
    """Overlapping windows over an image, row by row, with weights that are separable and add up to 1 at every pixel.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        tile: Side of a window.
        overlap: Pixels that neighbours share.
        align: Every window starts at a multiple of it.

    Raises:
        ValueError: If tile and overlap do not fit together.
    """

    def __init__(self, height: int, width: int, tile: int, overlap: int, align: int = ALIGN) -> None:
        check_windows(tile, overlap, align)
        self.height, self.width = height, width
        self.rows = axis_spans(height, tile, overlap, align)
        self.columns = axis_spans(width, tile, overlap, align)
        margin = overlap // 4  # half of the overlap is left for the transition
        self.row_weights = axis_weights(self.rows, height, overlap, margin)
        self.column_weights = axis_weights(self.columns, width, overlap, margin)

    def batches(self, batch_size: int) -> Iterator[list[int]]:
        """The columns of a row of windows, in groups of one shape; the same groups in every row and every run."""
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
        carry: Sums carried over from the row before (h, W), see :meth:`finish_row`; None for the first.
    """

    def __init__(self, grid: WindowGrid, row: int = 0, carry: np.ndarray | None = None) -> None:
        self.grid = grid
        self._start(row, np.zeros((0, grid.width), np.float32) if carry is None else carry)

    def _start(self, row: int, carry: np.ndarray) -> None:
        self.row = row
        height = self.grid.rows[row].stop - self.grid.rows[row].start
        self._valid = np.zeros((height, self.grid.width), bool)
        self._sums = np.zeros((height, self.grid.width), np.float32)
        self._sums[:len(carry)] = carry

    def add(self, column: int, values: np.ndarray | None, valid: np.ndarray) -> None:
        """Add one window of this row.

        Args:
            column: Column of the window.
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


class PredictedWindow(NamedTuple):
    """A window.

    Attributes:
        values: Change probabilities (h, w); None where no pixel has data.
        valid: Where both images have data (h, w).
    """
    values: np.ndarray | None
    valid: np.ndarray


def predict_windows(source: PairSource, model: TileModel, tta: bool, batches: Iterable[list[Window]],
                    workers: int) -> Generator[list[PredictedWindow], None, None]:
    """Predict batches of windows, and give them back in their order.

    ::

        reader, 1 thread: read, warp -> workers: fill nodata, model -> who asks: the oldest batch

    The reader is one batch ahead of the workers, and no more, whatever the size of the image.

    Args:
        source: The pair; it is read from one thread only, as GDAL wants it.
        model: Takes batches from ``workers`` threads.
        tta: Whether to average over flips.
        batches: Windows of one shape each.
        workers: See :meth:`~.models.TileModel.workers`.
    """

    def read(windows: list[Window]) -> list[PairTile]:
        return [source.read(window) for window in windows]

    def predict(tiles: 'Future[list[PairTile]]') -> list[PredictedWindow]:
        return _predict_batch(model, tiles.result(), tta)

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(workers) as pool:
        under_way: deque = deque()
        try:
            for windows in batches:
                under_way.append(pool.submit(predict, reader.submit(read, windows)))
                if len(under_way) > workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:  # of a run that is stopped; what has begun is waited for, and takes a second
                future.cancel()


def _predict_batch(model: TileModel, tiles: list[PairTile], tta: bool) -> list[PredictedWindow]:
    """Predict a batch; windows without data are not given to the model."""
    # Without data, one colour at both dates: no change, and no edge that only one of them has.
    pairs = [np.where(tile.valid[..., None], tile.pair, np.tile(model.fill, 2)) for tile in tiles if tile.valid.any()]
    predicted = iter(model.predict(np.stack(pairs), tta) if pairs else ())
    return [PredictedWindow(next(predicted) if tile.valid.any() else None, tile.valid) for tile in tiles]


class PredictOptions(NamedTuple):
    """How a model runs over an image.

    Attributes:
        tile: Side of a window in pixels; a model of fixed size brings its own.
        overlap: Pixels that neighbouring windows share; a quarter of it on each side counts nothing.
        batch_size: Windows per step; None: by the memory.
        tta: Average over flips.
        threshold: Probability above which a pixel is changed; None: the model's own.
    """
    tile: int = 512
    overlap: int = 128
    batch_size: int | None = None
    tta: bool = False
    threshold: float | None = None

    def fitted_to(self, model: TileModel) -> 'PredictOptions':
        """The options with what the model decides filled in.

        Raises:
            ValueError: If the threshold is no probability, or the windows cannot lie side by side.
        """
        threshold = model.threshold if self.threshold is None else self.threshold
        if not 0 < threshold < 1:
            raise ValueError(f'threshold: expected a probability between 0 and 1, got {threshold}')
        if model.side is None:
            check_windows(self.tile, self.overlap, model.align)
            return self._replace(threshold=threshold)
        return self._replace(tile=model.side, overlap=model.side // 4, threshold=threshold)


def make_grid(source: PairSource, model: TileModel, options: PredictOptions) -> WindowGrid:
    """The windows of an image."""
    return WindowGrid(source.height, source.width, options.tile, options.overlap, model.align)


def predict_tiled(source: PairSource, model: TileModel, options: PredictOptions, sink: StripSink,
                  progress: bool = True) -> None:
    """Predict an image pair and hand the result to ``sink``, strip by strip, from where the sink stands.

    ::

        row of windows: predict_windows, in batches -> weighted sum -> finished rows -> sink

    Memory holds one row of windows of the probabilities, and of everything else the batches that are under way.

    Args:
        source: The pair.
        model: The model.
        options: Output of :meth:`PredictOptions.fitted_to`.
        sink: Takes the strips.
        progress: Whether to show a progress bar with the time that is left.
    """
    grid = make_grid(source, model, options)
    if sink.batch_size is None:
        sink.batch_size = options.batch_size or model.batch_size(options.tile)
    rows = range(sink.next_row, len(grid.rows))
    if not rows:
        return
    stitcher = RowStitcher(grid, sink.next_row, sink.carry)
    bar = ProgressBar(len(rows) * len(grid.columns), file=sys.stdout) if progress else None
    batches = [(row, columns) for row in rows for columns in grid.batches(sink.batch_size)]
    windows = ([grid.window(row, column) for column in columns] for row, columns in batches)
    with ExitStack() as stack:
        if bar is not None:
            stack.callback(sys.stdout.write, '\n')  # an error as well begins a line of its own
        workers = stack.enter_context(model.workers(options.tile))
        predicted = stack.enter_context(closing(predict_windows(source, model, options.tta, windows, workers)))
        for (_, columns), batch in zip(batches, predicted):
            for column, window in zip(columns, batch):
                stitcher.add(column, window.values, window.valid)
            if bar is not None:
                bar.update(len(columns))
            if columns[-1] == len(grid.columns) - 1:
                probability, valid, carry = stitcher.finish_row()
                sink.append(to_strip(probability, valid, options.threshold), carry)


def to_strip(probability: np.ndarray, valid: np.ndarray, threshold: float) -> Strip:
    """Probabilities with NaN where there is no data, and the mask that follows from them."""
    probability = np.where(valid, probability, np.float32(np.nan))
    return Strip(probability, np.where(valid, probability > threshold, NODATA).astype(np.uint8))
