"""How sure a score is, and whether two runs differ: both by images, because the pixels of one image go together."""
from typing import Callable, Sequence

import numpy as np

from .levels import Counts, f1

# Resamples that are held in memory at once.
CHUNK = 200


def group_sums(counts: Counts, groups: Sequence[str]) -> Counts:
    """Add up the counts of the images that belong together, such as the tiles of one scene; each array is (G,)."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = []
    for count in counts:
        summed = np.zeros(index.max() + 1, dtype=np.int64)
        np.add.at(summed, index, count)
        sums.append(summed)
    return Counts(*sums)


def bootstrap(counts: Counts, resamples: int, seed: int) -> Counts:
    """Pooled counts of as many images, drawn with replacement, many times over.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6, with the image as the unit. Equal seeds
    draw the same images, so that the replicates of two runs on the same images are paired.

    Args:
        counts: Of each image, arrays (N,).
        resamples: How many times.
        seed: Of the draws.

    Returns:
        Arrays (resamples,).
    """
    rng = np.random.default_rng(seed)
    stacked = np.stack(counts, axis=1).astype(np.int64)
    n = len(stacked)
    sums = []
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        sums.append(rng.multinomial(n, np.full(n, 1 / n), size=size) @ stacked)
    return Counts(*np.concatenate(sums).T)


def interval(replicates: np.ndarray, level: float) -> tuple[float, float]:
    """The percentile interval of bootstrap replicates: between them lie ``level`` of all."""
    tail = (1 - level) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def randomisation_test(a: Counts,
                       b: Counts,
                       permutations: int,
                       seed: int,
                       score: Callable[[Counts], np.ndarray] = f1) -> float:
    """Chance of a difference at least as large between two runs that are equally good.

    The paired approximate randomisation test for scores that are no mean over the images, such as F1: Yeh, More
    accurate tests for the statistical significance of result differences, COLING 2000, after Noreen 1989. If the runs
    are equally good, their results on an image might as well be swapped. So each image is swapped with probability
    1/2, and the pooled scores are compared anew. The observed assignment counts as one of them, hence p is never 0.

    Args:
        a: Outcomes of one run per image, arrays (N,).
        b: Those of the other run on the same images.
        permutations: How many random assignments.
        seed: Of the swaps.
        score: Of pooled counts.

    Returns:
        The two-sided p value.
    """
    rng = np.random.default_rng(seed)
    stacked_a, stacked_b = (np.stack(counts, axis=1).astype(np.int64) for counts in (a, b))
    total_a, total_b, gain = stacked_a.sum(axis=0), stacked_b.sum(axis=0), stacked_b - stacked_a
    observed = abs(float(score(Counts(*total_a)) - score(Counts(*total_b))))
    as_extreme = 0
    for start in range(0, permutations, CHUNK):
        size = min(CHUNK, permutations - start)
        moved = rng.integers(0, 2, size=(size, len(gain))) @ gain
        differences = score(Counts(*(total_a + moved).T)) - score(Counts(*(total_b - moved).T))
        # The same sums can differ in the last digit.
        as_extreme += int((np.abs(differences) >= observed - 1e-12).sum())
    return (1 + as_extreme) / (1 + permutations)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for the number of comparisons, after Holm (1979).

    Where no run differs from the baseline, the chance that any of these is below alpha is alpha at most.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.] * len(p_values), 0.
    for rank, index in enumerate(order):
        largest = max(largest, min(1., (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
