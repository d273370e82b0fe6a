"""Statistics of pixels: outcomes at every threshold, scores, confidence intervals, tests, calibration.

All are computed from one histogram per image: change probabilities in 256 levels, by ground truth.
"""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..io.pictures import IGNORE_INDEX

LEVELS = 256
# Bins of the reliability diagram: 16 levels each.
BINS = 16
# Resamples that scipy holds in memory at once: with 10,000 images 16 MB for each array of indices.
BATCH = 200


class Counts(NamedTuple):
    """Pixels by outcome, int64 arrays of one shape, or numbers; the last axis may be the thresholds k / 256."""
    tp: Any
    fp: Any
    fn: Any
    tn: Any

    def at(self, level: int) -> 'Counts':
        """The counts at one threshold."""
        return Counts(*(count[..., level] for count in self))

    def total(self) -> 'Counts':
        """The sum over the images, the last axis."""
        return Counts(*(count.sum(axis=-1) for count in self))


def to_levels(probability: np.ndarray) -> np.ndarray:
    """Store a probability p as the level k with k / 256 < p <= (k + 1) / 256.

    So ``level >= k`` is exactly the decode head's ``p > k / 256``: at a threshold that is a multiple of 1 / 256, such
    as 0.5, nothing is lost by the rounding. Only p = 0 at the threshold 0 differs.

    Args:
        probability: Probabilities in [0, 1], any shape.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: If a probability is NaN or outside of [0, 1].
    """
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError(f'change probabilities must lie in [0, 1], found {np.nanmin(probability):g} to '
                         f'{np.nanmax(probability):g} and {np.isnan(probability).sum()} NaN: the model has diverged, '
                         'or its head gives something other than one logit or two classes')
    return np.clip(np.ceil(probability * LEVELS) - 1, 0, LEVELS - 1).astype(np.uint8)


def nearest_level(threshold: float) -> int:
    """The level k whose threshold k / 256 is closest.

    Raises:
        ValueError: If the threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f'the threshold must lie between 0 and 1, got {threshold:g}')
    return min(max(round(threshold * LEVELS), 1), LEVELS - 1)


def histogram(truth: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Histogram of the levels of the unchanged (row 0) and the changed pixels (row 1).

    Args:
        truth: Ground truth, 0, 1 or 255 (not counted) per pixel.
        levels: Output of :func:`to_levels`, same shape.

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
    """Outcomes of a bool prediction; pixels with ground truth 255 are not counted."""
    changed, unchanged = truth == 1, truth == 0
    tp, fp = int((changed & prediction).sum()), int((unchanged & prediction).sum())
    return Counts(tp, fp, int(changed.sum()) - tp, int(unchanged.sum()) - fp)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """Elementwise ratio; 0/0 is 0, as in :func:`mamba_cd_plugin.evaluation.change_scores`."""
    numerator, denominator = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def f1(counts: Counts) -> np.ndarray:
    """F1 of the changed class, elementwise."""
    return ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou(counts: Counts) -> np.ndarray:
    """IoU of the changed class, elementwise."""
    return ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def precision(counts: Counts) -> np.ndarray:
    """Precision of the changed class, elementwise."""
    return ratio(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> np.ndarray:
    """Recall of the changed class, elementwise."""
    return ratio(counts.tp, counts.tp + counts.fn)


# The scores that get an interval, by the keys of ChangeMetric.
SCORES = dict(changed_F1=f1, changed_IoU=iou, changed_precision=precision, changed_recall=recall)


def group_sums(counts: Counts, groups: Sequence[str]) -> Counts:
    """Sum the counts of images that belong together, such as the tiles of one scene; each array is (G,)."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return Counts(*(np.bincount(index, weights=count).astype(np.int64) for count in counts))


def _pool(counts: Counts, images: np.ndarray) -> Counts:
    """Pooled counts of the images with these indices, (..., n) to (...,)."""
    return Counts(*(count[images].sum(axis=-1) for count in counts))


def score_intervals(counts: Counts, resamples: int, level: float, seed: int) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of the pooled ``SCORES``.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6, with the image as the unit.

    Args:
        counts: Outcomes of each image, arrays (N,).
        resamples: Number of bootstrap resamples.
        level: Confidence level.
        seed: Seed of the random draws.

    Returns:
        Lower and upper limit by the name of the score; both are the score itself where there is one image only.
    """
    def statistic(images: np.ndarray, axis: int) -> np.ndarray:
        pooled = _pool(counts, np.moveaxis(images, axis, -1).astype(int))
        return np.stack([score(pooled) for score in SCORES.values()])

    return dict(zip(SCORES, _bootstrap(statistic, len(counts.tp), resamples, level, seed)))


def difference_interval(a: Counts, b: Counts, resamples: int, level: float, seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of F1(b) - F1(a), the same images drawn for both; see :func:`score_intervals`."""
    def statistic(images: np.ndarray, axis: int) -> np.ndarray:
        images = np.moveaxis(images, axis, -1).astype(int)
        return f1(_pool(b, images)) - f1(_pool(a, images))

    return _bootstrap(lambda images, axis: statistic(images, axis)[None], len(a.tp), resamples, level, seed)[0]


def _bootstrap(statistic: Callable[..., np.ndarray], images: int, resamples: int, level: float,
               seed: int) -> list[tuple[float, float]]:
    """Intervals of several statistics of the indices of the images."""
    indices = np.arange(images)
    if images < 2:  # scipy refuses a single observation
        return [(float(value), float(value)) for value in statistic(indices, axis=-1)]
    limits = stats.bootstrap((indices, ), statistic, n_resamples=resamples, confidence_level=level, batch=BATCH,
                             vectorized=True, method='percentile', random_state=np.random.default_rng(seed))
    return [(float(low), float(high)) for low, high in zip(*limits.confidence_interval)]


def randomisation_test(a: Counts, b: Counts, permutations: int, seed: int) -> float:
    """Two-sided p value of the difference in pooled F1 between two runs on the same images.

    The paired approximate randomisation test for scores that are no mean over the images: Yeh, More accurate tests for
    the statistical significance of result differences, COLING 2000, after Noreen 1989. If the runs are equally good,
    their results on an image might as well be swapped; scipy swaps them at random, or in every way where there are few
    images.

    Args:
        a: Outcomes of one run per image, arrays (N,).
        b: Those of the other run on the same images.
        permutations: Number of random assignments.
        seed: Seed of the random swaps.
    """
    images = len(a.tp)
    if images < 2:  # swapping one image only changes the sign: any difference is as likely as not
        return 1.
    both = Counts(*(np.concatenate(pair) for pair in zip(a, b)))

    def difference(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        one, other = (np.moveaxis(side, axis, -1) for side in (one, other))
        return f1(_pool(both, other)) - f1(_pool(both, one))

    sides = np.arange(images), np.arange(images, 2 * images)
    return float(stats.permutation_test(sides, difference, permutation_type='samples', n_resamples=permutations,
                                        batch=BATCH, vectorized=True, random_state=np.random.default_rng(seed)).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for the number of comparisons, after Holm (1979), which scipy does not have.

    Where no run differs from the baseline, the chance that any of these is below alpha is alpha at most.
    """
    order = np.argsort(p_values, kind='stable')
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, factors * np.asarray(p_values)[order]))
    return adjusted.tolist()


class Reliability(NamedTuple):
    """Calibration of the change probabilities (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).

    Attributes:
        probability: Mean probability of the pixels of each bin.
        frequency: Share of them that is changed; None in both for an empty bin.
        pixels: Number of pixels in each bin.
        ece: Expected calibration error: mean distance of the two, weighted by the pixels.
        brier: Brier score: mean square of the distance between probability and ground truth.
    """
    probability: list[float | None]
    frequency: list[float | None]
    pixels: list[int]
    ece: float
    brier: float


def measure_reliability(histogram_: np.ndarray) -> Reliability:
    """Reliability from a histogram (2, 256); each level represents the middle of its range."""
    middle = (np.arange(LEVELS) + 0.5) / LEVELS
    pixels, changed, weight = (values.reshape(BINS, -1).sum(axis=1)
                               for values in (histogram_.sum(axis=0), histogram_[1], histogram_.sum(axis=0) * middle))
    probability, frequency, total = ratio(weight, pixels), ratio(changed, pixels), max(int(pixels.sum()), 1)
    brier = float((histogram_ * np.stack([middle**2, (1 - middle)**2])).sum()) / total
    shown = [[float(value) if number else None for value, number in zip(values, pixels)]
             for values in (probability, frequency)]
    ece = float((np.abs(probability - frequency) * pixels).sum()) / total
    return Reliability(shown[0], shown[1], pixels.tolist(), ece, brier)
