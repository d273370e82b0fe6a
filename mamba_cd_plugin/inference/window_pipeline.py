"""Reading and predicting windows in several threads, while what is finished is stitched."""
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Iterable, Iterator, NamedTuple, Optional

import numpy as np

from .pair_source import PairSource, PairTile
from .tile_model import TileModel
from .windows import Window


class PredictedWindow(NamedTuple):
    """A window.

    Attributes:
        values: Change probabilities (h, w); None where no pixel has data.
        valid: Where both images have data (h, w).
    """
    values: Optional[np.ndarray]
    valid: np.ndarray


def predict_windows(source: PairSource, model: TileModel, tta: bool, batches: Iterable[list[Window]],
                    workers: int) -> Iterator[list[PredictedWindow]]:
    """Predict batches of windows, and give them back in their order.

    ::

        reader, 1 thread: read, warp -> workers: fill nodata, model -> who asks: the oldest batch

    The reader is one batch ahead of the workers, and no more, whatever the size of the image.

    Args:
        source: The pair; it is read from one thread only, as GDAL wants it.
        model: Takes batches from ``workers`` threads.
        tta: Whether to average over flips.
        batches: Windows of one shape each.
        workers: See :meth:`~.tile_model.TileModel.workers`.
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
    """A window without data costs nothing."""
    # Without data, one colour at both dates: no change, and no edge that only one of them has.
    pairs = [np.where(tile.valid[..., None], tile.pair, np.tile(model.fill, 2)) for tile in tiles if tile.valid.any()]
    predicted = iter(model.predict(np.stack(pairs), tta) if pairs else ())
    return [PredictedWindow(next(predicted) if tile.valid.any() else None, tile.valid) for tile in tiles]
