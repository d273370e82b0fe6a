"""Predicting an image of any size, window by window."""
import sys
from contextlib import closing
from typing import NamedTuple, Optional

import numpy as np
from mmengine.utils import ProgressBar

from .pair_source import PairSource
from .strips import NODATA, Strip, StripSink
from .tile_model import TileModel
from .window_pipeline import predict_windows
from .windows import RowStitcher, WindowGrid


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
    batch_size: Optional[int] = None
    tta: bool = False
    threshold: Optional[float] = None

    def fitted_to(self, model: TileModel) -> 'PredictOptions':
        """The options with what the model decides filled in.

        Raises:
            ValueError: If the threshold is no probability.
        """
        threshold = model.threshold if self.threshold is None else self.threshold
        if not 0 < threshold < 1:
            raise ValueError(f'threshold: expected a probability between 0 and 1, got {threshold}')
        if model.side is None:
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
        options: From :meth:`PredictOptions.fitted_to`.
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
    batches = [(row, columns) for row in rows for columns in grid.batches(row, sink.batch_size)]
    windows = ([grid.window(row, column) for column in columns] for row, columns in batches)
    with model.workers(options.tile) as workers, \
            closing(predict_windows(source, model, options.tta, windows, workers)) as predicted:
        for (_, columns), batch in zip(batches, predicted):
            for column, window in zip(columns, batch):
                stitcher.add(column, window.values, window.valid)
            if bar is not None:
                bar.update(len(columns))
            if columns[-1] == len(grid.columns) - 1:
                probability, valid, carry = stitcher.finish_row()
                sink.append(_strip(probability, valid, options.threshold), carry)
    if bar is not None:
        sys.stdout.write('\n')


def _strip(probability: np.ndarray, valid: np.ndarray, threshold: float) -> Strip:
    probability = np.where(valid, probability, np.float32(np.nan))
    return Strip(probability, np.where(valid, probability > threshold, NODATA).astype(np.uint8))
