"""Scores per tile, the tiles worth looking at, and scores per object by size."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..io.pictures import IGNORE_INDEX
from .pixels import Counts, f1, outcomes, ratio

# Tiles with a smaller share of changed pixels are not shown as good or typical examples.
WORTH_SHOWING = 0.01
# Limits between the size classes, as sides of squares in pixels; a limit belongs to the larger class.
SIDES = (10, 20, 40, 80)
# An object is found if at least this share of it is predicted; a predicted region is correct if at least this share of
# it is changed.
COVERED = 0.5


class ScoredTile(NamedTuple):
    """One window of an image and its outcomes.

    Attributes:
        image: Index of the image.
        name: Name of the image.
        rows: Rows of the window.
        columns: Columns of the window.
        counts: Pixels by outcome.
    """
    image: int
    name: str
    rows: slice
    columns: slice
    counts: Counts

    @property
    def wrong(self) -> int:
        """Number of wrong pixels."""
        return self.counts.fp + self.counts.fn

    @property
    def changed(self) -> int:
        """Number of changed pixels in the ground truth."""
        return self.counts.tp + self.counts.fn

    @property
    def pixels(self) -> int:
        """Number of labelled pixels."""
        return int(sum(tuple(self.counts)))

    @property
    def f1(self) -> float:
        """F1 of the changed class; 0 if nothing is changed."""
        return float(f1(self.counts))


def windows(shape: tuple[int, ...], tile: int) -> Iterator[tuple[slice, slice]]:
    """Windows that cover an image without overlap; the last of a row or column may be smaller."""
    for top in range(0, shape[0], tile):
        for left in range(0, shape[1], tile):
            yield slice(top, min(top + tile, shape[0])), slice(left, min(left + tile, shape[1]))


def cut(image: int, name: str, truth: np.ndarray, prediction: np.ndarray, tile: int) -> list[ScoredTile]:
    """The tiles of one image.

    Args:
        image: Index of the image.
        name: Name of the image.
        truth: Ground truth, 0, 1 or 255 per pixel, (H, W).
        prediction: Whether a pixel is predicted as changed, bool (H, W).
        tile: Side of a tile in pixels.
    """
    return [ScoredTile(image, name, rows, columns, outcomes(truth[rows, columns], prediction[rows, columns]))
            for rows, columns in windows(truth.shape, tile)]


def worst(tiles: Sequence[ScoredTile], number: int) -> list[ScoredTile]:
    """The tiles with the most wrong pixels, which lower the pooled score most.

    Not those with the lowest F1, which is 0 wherever the only house of a tile is missed.
    """
    return sorted((tile for tile in tiles if tile.wrong), key=lambda tile: -tile.wrong)[:number]


def best(tiles: Sequence[ScoredTile], number: int) -> list[ScoredTile]:
    """The tiles with the highest F1 among those with enough change."""
    return sorted(_with_change(tiles), key=lambda tile: -tile.f1)[:number]


def spread_by_rank(tiles: Sequence[ScoredTile], number: int) -> list[ScoredTile]:
    """Tiles with enough change, their F1 evenly spaced by rank from the highest to the lowest."""
    ranked = best(tiles, len(tiles))
    chosen = np.linspace(0, len(ranked) - 1, min(number, len(ranked))).round().astype(int)
    return [ranked[index] for index in dict.fromkeys(chosen.tolist())]


def disagreements(one: Sequence[ScoredTile], other: Sequence[ScoredTile],
                  number: int) -> list[tuple[ScoredTile, ScoredTile]]:
    """The tiles on which the numbers of wrong pixels of two runs differ most."""
    pairs = [(a, b) for a, b in zip(one, other) if a.wrong != b.wrong]
    return sorted(pairs, key=lambda pair: -abs(pair[0].wrong - pair[1].wrong))[:number]


def _with_change(tiles: Sequence[ScoredTile]) -> list[ScoredTile]:
    return [tile for tile in tiles if tile.changed >= WORTH_SHOWING * tile.pixels and tile.changed]


class Objects(NamedTuple):
    """Connected regions (8 neighbours) of one or many images.

    Attributes:
        area: Number of pixels of each region of the ground truth.
        hit: Number of those that are predicted as changed.
        predicted_area: Number of pixels of each predicted region.
        predicted_hit: Number of those that are changed in the ground truth.
    """
    area: np.ndarray
    hit: np.ndarray
    predicted_area: np.ndarray
    predicted_hit: np.ndarray


class SizeScores(NamedTuple):
    """Scores of the objects of one size class.

    Attributes:
        label: Name of the size class.
        objects: Number of objects in the ground truth.
        found: Number of those that are found.
        pixel_recall: Share of their pixels that is predicted.
        predicted: Number of predicted regions.
        right: Number of those that are correct.
    """
    label: str
    objects: int
    found: int
    pixel_recall: float
    predicted: int
    right: int

    @property
    def object_recall(self) -> float:
        """Share of the objects that are found."""
        return float(ratio(self.found, self.objects))

    @property
    def object_precision(self) -> float:
        """Share of the predicted regions that are correct."""
        return float(ratio(self.right, self.predicted))


def find_objects(truth: np.ndarray, prediction: np.ndarray) -> Objects:
    """The regions of one image; tiles cut the objects at their borders.

    Args:
        truth: Ground truth, 0, 1 or 255 per pixel; pixels without ground truth belong to no region.
        prediction: Whether a pixel is predicted as changed, bool (H, W).
    """
    changed, predicted = truth == 1, prediction & (truth != IGNORE_INDEX)
    return Objects(*_regions(changed, predicted), *_regions(predicted, changed))


def _regions(mask: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area of each region of a mask, and how much of it the other mask covers."""
    number, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    # Region 0 is what is not in the mask.
    every, shared = (np.bincount(labels[pixels], minlength=number)[1:] for pixels in (mask, mask & other))
    return every, shared


def join(parts: Sequence[Objects]) -> Objects:
    """Concatenate the objects of many images."""
    return Objects(*(np.concatenate(arrays) for arrays in zip(*parts)))


def size_labels() -> list[str]:
    """Names of the size classes, smallest first."""
    between = [f'{low}² to {high}²' for low, high in zip(SIDES, SIDES[1:])]
    return [f'below {SIDES[0]}²', *between, f'{SIDES[-1]}² and more']


def by_size(objects: Objects) -> list[SizeScores]:
    """Scores of each size class, smallest first."""
    limits = np.square(SIDES)
    size, predicted_size = (np.digitize(area, limits) for area in (objects.area, objects.predicted_area))
    found = objects.hit >= COVERED * objects.area
    right = objects.predicted_hit >= COVERED * objects.predicted_area
    scores = []
    for index, label in enumerate(size_labels()):
        own, predicted = size == index, predicted_size == index
        pixel_recall = float(ratio(objects.hit[own].sum(), objects.area[own].sum()))
        scores.append(SizeScores(label, int(own.sum()), int(found[own].sum()), pixel_recall, int(predicted.sum()),
                                 int(right[predicted].sum())))
    return scores
