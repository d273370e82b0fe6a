"""Change probabilities in 256 levels, and the outcomes over every threshold that follow from their histogram."""
from typing import NamedTuple

import numpy as np

from ..io.pictures import IGNORE_INDEX

LEVELS = 256


class Counts(NamedTuple):
    """Pixels by outcome, int64 arrays of one shape; the last axis may be the thresholds k / 256."""
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    def at(self, level: int) -> 'Counts':
        """The counts at one threshold."""
        return Counts(*(count[..., level] for count in self))

    def total(self) -> 'Counts':
        """The sum over the first axis, the images."""
        return Counts(*(count.sum(axis=0) for count in self))


def to_levels(probability: np.ndarray) -> np.ndarray:
    """Store a probability p as the level k with k / 256 < p <= (k + 1) / 256.

    So ``level >= k`` is exactly the decode head's ``p > k / 256``: at a threshold that is a multiple of 1 / 256, such
    as 0.5, nothing is lost by the rounding. Only p = 0 at the threshold 0 differs.

    Args:
        probability: In [0, 1], any shape.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: If a probability is NaN or outside of [0, 1].
    """
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError(f'change probabilities must lie in [0, 1], found {np.nanmin(probability):g} to '
                         f'{np.nanmax(probability):g} and {np.isnan(probability).sum()} NaN: the model has diverged, '
                         'or its head gives something else than one logit or two classes')
    return np.clip(np.ceil(probability * LEVELS) - 1, 0, LEVELS - 1).astype(np.uint8)


def nearest_level(threshold: float) -> int:
    """The level whose threshold k / 256 is next to this one.

    Raises:
        ValueError: If the threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f'the threshold must lie between 0 and 1, got {threshold:g}')
    return min(max(round(threshold * LEVELS), 1), LEVELS - 1)


def histogram(truth: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """How often each level occurs among the unchanged (row 0) and the changed pixels (row 1).

    Args:
        truth: 0, 1 or 255 (not counted) per pixel.
        levels: From :func:`to_levels`, the same shape.

    Returns:
        int64 array (2, 256).
    """
    labelled = truth != IGNORE_INDEX
    joint = truth[labelled].astype(np.int64) * LEVELS + levels[labelled]
    return np.bincount(joint, minlength=2 * LEVELS).reshape(2, LEVELS)


def over_thresholds(histograms: np.ndarray) -> Counts:
    """Outcomes at the thresholds 0, 1/256, ..., 255/256 from histograms (..., 2, 256); each array is (..., 256)."""
    at_least = histograms[..., ::-1].cumsum(axis=-1)[..., ::-1]
    fp, tp = at_least[..., 0, :], at_least[..., 1, :]
    return Counts(tp, fp, at_least[..., 1, :1] - tp, at_least[..., 0, :1] - fp)


def outcomes(truth: np.ndarray, prediction: np.ndarray) -> Counts:
    """Outcomes of a thresholded map (bool) as four numbers; pixels with truth 255 are not counted."""
    changed, unchanged = truth == 1, truth == 0
    tp, fp = int((changed & prediction).sum()), int((unchanged & prediction).sum())
    return Counts(tp, fp, int(changed.sum()) - tp, int(unchanged.sum()) - fp)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Element by element; 0/0 is 0, as in :func:`mamba_cd_plugin.evaluation.change_scores`."""
    numerator, denominator = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def f1(counts: Counts) -> np.ndarray:
    """F1 of the changed class, element by element."""
    return ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou(counts: Counts) -> np.ndarray:
    """IoU of the changed class, element by element."""
    return ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def precision(counts: Counts) -> np.ndarray:
    """Precision of the changed class, element by element."""
    return ratio(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> np.ndarray:
    """Recall of the changed class, element by element."""
    return ratio(counts.tp, counts.tp + counts.fn)


# The scores that get an interval, by the keys of ChangeMetric.
SCORES = dict(changed_F1=f1, changed_IoU=iou, changed_precision=precision, changed_recall=recall)
