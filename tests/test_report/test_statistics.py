"""Intervals and tests against plain loops, enumeration and cases worked out by hand."""
from itertools import product

import numpy as np
import pytest

from mamba_cd_plugin.report.levels import Counts, f1
from mamba_cd_plugin.report.statistics import bootstrap, group_sums, holm, interval, randomisation_test


def random_counts(n: int, seed: int) -> Counts:
    rng = np.random.RandomState(seed)
    return Counts(rng.randint(50, 200, n), rng.randint(0, 80, n), rng.randint(0, 80, n), rng.randint(500, 900, n))


def pooled_f1(tp: int, fp: int, fn: int) -> float:
    return 2 * tp / (2 * tp + fp + fn)


def test_bootstrap_of_two_images_is_the_known_distribution() -> None:
    counts = Counts(np.array([10, 0]), np.array([0, 10]), np.array([0, 10]), np.array([5, 5]))
    replicates = bootstrap(counts, 8000, seed=1)
    # The first image twice, both, the second twice: F1 1, 0.5, 0 with chances 1/4, 1/2, 1/4.
    values, numbers = np.unique(f1(replicates), return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    assert numbers / 8000 == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert interval(f1(replicates), 0.95) == (0, 1)
    assert interval(f1(replicates), 0.4) == (0.5, 0.5)


def test_bootstrap_interval_against_a_plain_loop() -> None:
    counts = random_counts(30, 0)
    rng = np.random.RandomState(5)
    loop = []
    for _ in range(4000):
        tp = fp = fn = 0
        for image in rng.randint(0, 30, 30):
            tp, fp, fn = tp + counts.tp[image], fp + counts.fp[image], fn + counts.fn[image]
        loop.append(pooled_f1(tp, fp, fn))
    loop.sort()
    low, high = interval(f1(bootstrap(counts, 4000, seed=0)), 0.95)
    assert low == pytest.approx(loop[100], abs=0.003) and high == pytest.approx(loop[3900], abs=0.003)
    assert low < pooled_f1(*(int(count.sum()) for count in counts[:3])) < high


def test_equal_seeds_draw_equal_images() -> None:
    counts = random_counts(7, 1)
    once, doubled = bootstrap(counts, 450, 3), bootstrap(Counts(*(2 * count for count in counts)), 450, 3)
    assert all((2 * a == b).all() for a, b in zip(once, doubled))
    assert not np.array_equal(once.tp, bootstrap(counts, 450, 4).tp)


def test_images_of_one_scene_go_together() -> None:
    counts = Counts(*(np.array([1, 2, 3, 4]) * factor for factor in (1, 10, 100, 1000)))
    sums = group_sums(counts, ['b', 'a', 'b', 'a'])
    assert [count.tolist() for count in sums] == [[6, 4], [60, 40], [600, 400], [6000, 4000]]


def test_randomisation_against_all_assignments() -> None:
    a, b = random_counts(9, 2), random_counts(9, 3)
    b.tp[:] += 15
    stacked = np.stack([np.stack(a[:3], 1), np.stack(b[:3], 1)])
    observed = abs(pooled_f1(*stacked[0].sum(0)) - pooled_f1(*stacked[1].sum(0)))
    extreme = 0
    for swap in product([0, 1], repeat=9):
        one = sum(stacked[s, i] for i, s in enumerate(swap))
        other = sum(stacked[1 - s, i] for i, s in enumerate(swap))
        extreme += abs(pooled_f1(*one) - pooled_f1(*other)) >= observed - 1e-12
    exact = extreme / 2**9
    assert 0.01 < exact < 0.9
    assert randomisation_test(a, b, 20000, seed=0) == pytest.approx(exact, abs=0.012)


def test_randomisation_by_hand() -> None:
    a = Counts(*(np.full(5, value) for value in (50, 50, 50, 850)))
    b = Counts(*(np.full(5, value) for value in (90, 10, 10, 890)))
    # Better on each of five images: only none and all swapped differ as much, 2 of 32 assignments.
    assert randomisation_test(a, b, 20000, seed=0) == pytest.approx(2 / 32, abs=0.006)
    assert randomisation_test(a, a, 200, seed=0) == 1
    assert randomisation_test(random_counts(400, 0), Counts(*(c + 60 for c in random_counts(400, 0)[:1]),
                                                            *random_counts(400, 0)[1:]), 999, seed=0) == 1 / 1000


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.7, 0.6]) == [1, 1]
    assert holm([]) == []
