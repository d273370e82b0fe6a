"""Scores tile by tile, and which tiles are worth looking at."""
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from .levels import Counts, f1, outcomes

# A tile with less change than this share of its pixels is no example of a good or typical result.
WORTH_SHOWING = 0.01


class Tile(NamedTuple):
    """One window of one image, and what was right and wrong there.

    Attributes:
        image: Index of the image.
        name: Of the image.
        rows: Of the window.
        columns: Of the window.
        counts: Its outcomes.
    """
    image: int
    name: str
    rows: slice
    columns: slice
    counts: Counts

    @property
    def wrong(self) -> int:
        """Pixels in error."""
        return self.counts.fp + self.counts.fn

    @property
    def changed(self) -> int:
        """Changed pixels in the truth."""
        return self.counts.tp + self.counts.fn

    @property
    def pixels(self) -> int:
        """Labelled pixels."""
        return sum(self.counts)

    @property
    def f1(self) -> float:
        """Its F1; 0 where nothing is changed."""
        return float(f1(self.counts))


def windows(shape: tuple[int, ...], tile: int) -> Iterator[tuple[slice, slice]]:
    """Windows that cover an image without overlap; the last of a row or column may be smaller."""
    for top in range(0, shape[0], tile):
        for left in range(0, shape[1], tile):
            yield slice(top, min(top + tile, shape[0])), slice(left, min(left + tile, shape[1]))


def cut(image: int, name: str, truth: np.ndarray, prediction: np.ndarray, tile: int) -> list[Tile]:
    """The tiles of one image.

    Args:
        image: Its index.
        name: Its name.
        truth: 0, 1 or 255 per pixel.
        prediction: Of bool.
        tile: Side in pixels.
    """
    return [Tile(image, name, rows, columns, outcomes(truth[rows, columns], prediction[rows, columns]))
            for rows, columns in windows(truth.shape, tile)]


def worst(tiles: Sequence[Tile], number: int) -> list[Tile]:
    """The tiles with the most pixels in error: what costs the pooled score most.

    The lowest F1 would not do: it is 0 wherever the only house of a tile is missed.
    """
    return sorted((tile for tile in tiles if tile.wrong), key=lambda tile: -tile.wrong)[:number]


def best(tiles: Sequence[Tile], number: int) -> list[Tile]:
    """The tiles with the highest F1 among those with some change to be found."""
    return sorted(_with_change(tiles), key=lambda tile: -tile.f1)[:number]


def spread(tiles: Sequence[Tile], number: int) -> list[Tile]:
    """Tiles with some change whose F1 is spread evenly from the highest to the lowest."""
    ranked = best(tiles, len(tiles))
    chosen = np.linspace(0, len(ranked) - 1, min(number, len(ranked))).round().astype(int)
    return [ranked[index] for index in dict.fromkeys(chosen.tolist())]


def disagreements(one: Sequence[Tile], other: Sequence[Tile], number: int) -> list[tuple[Tile, Tile]]:
    """The same tile of two runs where their pixels in error differ most."""
    pairs = [(a, b) for a, b in zip(one, other) if a.wrong != b.wrong]
    return sorted(pairs, key=lambda pair: -abs(pair[0].wrong - pair[1].wrong))[:number]


def _with_change(tiles: Sequence[Tile]) -> list[Tile]:
    return [tile for tile in tiles if tile.changed >= WORTH_SHOWING * tile.pixels and tile.changed]
