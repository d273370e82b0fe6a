"""What is found of the changed objects, by their size."""
from typing import NamedTuple, Sequence

import cv2
import numpy as np

from ..io.pictures import IGNORE_INDEX
from .levels import ratio

# Sides in pixels of squares as large as the limits between the sizes; a limit itself counts to the larger size.
SIDES = (10, 20, 40, 80)
# An object is found when at least this share of it is predicted, and a predicted one is right when at least this
# share of it is changed.
COVERED = 0.5


class Objects(NamedTuple):
    """Connected regions (8 neighbours) of one or many images.

    Attributes:
        area: Pixels of each region of the truth.
        hit: Pixels of it that are predicted as changed.
        predicted_area: Pixels of each region of the prediction.
        predicted_hit: Pixels of it that are changed in truth.
    """
    area: np.ndarray
    hit: np.ndarray
    predicted_area: np.ndarray
    predicted_hit: np.ndarray


class SizeScores(NamedTuple):
    """Objects of one size.

    Attributes:
        label: The size in words.
        objects: How many there are in truth.
        found: How many of them are found.
        pixel_recall: Share of their pixels that is predicted.
        predicted: How many predicted regions have this size.
        right: How many of those are right.
    """
    label: str
    objects: int
    found: int
    pixel_recall: float
    predicted: int
    right: int

    @property
    def object_recall(self) -> float:
        """Share of the objects that is found."""
        return float(ratio(self.found, self.objects))

    @property
    def object_precision(self) -> float:
        """Share of the predicted regions that is right."""
        return float(ratio(self.right, self.predicted))


def find_objects(truth: np.ndarray, prediction: np.ndarray) -> Objects:
    """The regions of one image; those of an image cut into tiles are cut as well.

    Args:
        truth: 0, 1 or 255 per pixel; what has no truth belongs to no region.
        prediction: Of bool.
    """
    changed, predicted = truth == 1, prediction & (truth != IGNORE_INDEX)
    return Objects(*_regions(changed, predicted), *_regions(predicted, changed))


def _regions(mask: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area of each region of a mask, and how much of it the other mask covers."""
    number, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    # Region 0 is what is not in the mask.
    return tuple(np.bincount(labels[pixels], minlength=number)[1:] for pixels in (mask, mask & other))


def join(parts: Sequence[Objects]) -> Objects:
    """The objects of many images as one."""
    return Objects(*(np.concatenate(arrays) for arrays in zip(*parts)))


def size_labels() -> list[str]:
    """The sizes in words."""
    between = [f'{low}² to {high}²' for low, high in zip(SIDES, SIDES[1:])]
    return [f'below {SIDES[0]}²', *between, f'{SIDES[-1]}² and more']


def by_size(objects: Objects) -> list[SizeScores]:
    """Scores of each size, the smallest first."""
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
