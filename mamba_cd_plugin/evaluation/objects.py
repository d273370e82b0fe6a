"""Changed objects: connected regions of ground truth and prediction, matched by their intersection over union."""
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..io.pictures import IGNORE_INDEX

# Two regions match if their IoU is above one half: then no region can match two others, and nothing has to be assigned
# (Kirillov et al., Panoptic Segmentation, CVPR 2019).
MATCH_IOU = 0.5


class ObjectCounts(NamedTuple):
    """Numbers of objects of one image, or of many.

    Attributes:
        matched: Objects of the ground truth that match a predicted object.
        truth: Objects of the ground truth.
        predicted: Predicted objects.
    """
    matched: int
    truth: int
    predicted: int

    @property
    def precision(self) -> float:
        """Share of the predicted objects that match; 0 without any."""
        return self.matched / self.predicted if self.predicted else 0.

    @property
    def recall(self) -> float:
        """Share of the objects of the ground truth that match; 0 without any."""
        return self.matched / self.truth if self.truth else 0.

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 without any object."""
        return 2 * self.matched / (self.truth + self.predicted) if self.truth + self.predicted else 0.


def count_objects(prediction: np.ndarray, truth: np.ndarray, ignore_index: int = IGNORE_INDEX) -> ObjectCounts:
    """Match the connected regions (8 neighbours) of a prediction with those of the ground truth at IoU above 0.5.

    Args:
        prediction: 0 or 1 per pixel, (H, W).
        truth: 0, 1 or ``ignore_index`` per pixel, (H, W); ignored pixels belong to no region.
        ignore_index: Value of pixels without ground truth.

    Raises:
        ValueError: If the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f'The prediction has shape {prediction.shape} but the label {truth.shape}, expected the same')
    changed, predicted = truth == 1, (prediction == 1) & (truth != ignore_index)
    # Region 0 is the background.
    (number, labels), (found, regions) = (cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
                                          for mask in (changed, predicted))
    area, region_area = np.bincount(labels.ravel(), minlength=number), np.bincount(regions.ravel(), minlength=found)
    pairs, shared = np.unique(labels[changed & predicted].astype(np.int64) * found + regions[changed & predicted],
                              return_counts=True)
    union = area[pairs // found] + region_area[pairs % found] - shared
    return ObjectCounts(int((shared > MATCH_IOU * union).sum()), number - 1, found - 1)


def add_objects(counts: Sequence[ObjectCounts]) -> ObjectCounts:
    """The sum over several images."""
    return ObjectCounts(*(sum(values) for values in zip(*counts))) if counts else ObjectCounts(0, 0, 0)
