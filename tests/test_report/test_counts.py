"""What the report counts: pixels by level, intervals and tests, calibration, tiles and objects."""
from itertools import product

import numpy as np
import pytest
import torch

from mamba_cd_plugin.evaluation import change_scores
from mamba_cd_plugin.report.pixels import (
    SCORES,
    Counts,
    difference_interval,
    f1,
    group_sums,
    histogram,
    holm,
    measure_reliability,
    nearest_level,
    outcomes,
    over_thresholds,
    randomisation_test,
    score_intervals,
    to_levels,
)
from mamba_cd_plugin.report.regions import (
    ScoredTile,
    best,
    by_size,
    cut,
    disagreements,
    find_objects,
    join,
    size_labels,
    spread_by_rank,
    windows,
    worst,
)
from mamba_cd_plugin.report.results import MIN_SCENES, scenes


@pytest.fixture
def maps() -> tuple:
    """Truth with ignored pixels and probabilities, many of them on or next to a multiple of 1/256."""
    rng = np.random.RandomState(0)
    truth = rng.choice([0, 1, 255], size=(40, 50), p=[0.6, 0.3, 0.1]).astype(np.uint8)
    probability = rng.rand(40, 50).astype(np.float32)
    on_grid = (rng.randint(0, 257, (20, 50)) / 256).astype(np.float32)
    probability[:20] = np.clip(np.nextafter(on_grid, rng.choice([0, 0.5, 1], (20, 50)).astype(np.float32)), 0, 1)
    return truth, probability


def test_levels_decide_as_the_head_does(maps: tuple) -> None:
    _, probability = maps
    levels = to_levels(probability)
    for k in range(1, 256):
        assert ((levels >= k) == (probability > k / 256)).all(), k


@pytest.mark.parametrize('broken', [[0.5, np.nan], [0.5, 1.5], [-0.1, 0.5]])
def test_what_is_no_probability_is_refused(broken: list) -> None:
    with pytest.raises(ValueError, match='must lie in'):
        to_levels(np.array(broken))


def test_outcomes_over_thresholds(maps: tuple) -> None:
    truth, probability = maps
    counts = over_thresholds(histogram(truth, to_levels(probability)))
    for k in (1, 100, 128, 255):
        predicted = probability > k / 256
        by_hand = [np.sum(predicted & (truth == 1)), np.sum(predicted & (truth == 0)),
                   np.sum(~predicted & (truth == 1)), np.sum(~predicted & (truth == 0))]
        assert list(counts.at(k)) == by_hand == list(outcomes(truth, predicted))


def test_scores_are_those_of_the_metric() -> None:
    counts = Counts(np.array([30, 0]), np.array([10, 0]), np.array([20, 0]), np.array([40, 100]))
    for index in range(2):
        tp, fp, fn, tn = (int(count[index]) for count in counts)
        metric = change_scores(torch.tensor([[tn, fp], [fn, tp]]))
        for key, score in SCORES.items():
            assert score(counts)[index] == pytest.approx(metric[key]), key
    assert f1(counts).tolist() == [60 / 90, 0]


def test_nearest_level() -> None:
    assert [nearest_level(t) for t in (0.5, 0.4, 0.0001, 0.9999)] == [128, 102, 1, 255]
    with pytest.raises(ValueError, match='between 0 and 1'):
        nearest_level(1.)


def random_counts(n: int, seed: int) -> Counts:
    rng = np.random.RandomState(seed)
    return Counts(rng.randint(50, 200, n), rng.randint(0, 80, n), rng.randint(0, 80, n), rng.randint(500, 900, n))


def pooled_f1(tp: int, fp: int, fn: int) -> float:
    return 2 * tp / (2 * tp + fp + fn)


def test_bootstrap_of_two_images_is_the_known_distribution() -> None:
    # The first image twice, both, the second twice: F1 1, 0.5, 0 with chances 1/4, 1/2, 1/4.
    counts = Counts(np.array([10, 0]), np.array([0, 10]), np.array([0, 10]), np.array([5, 5]))
    assert score_intervals(counts, 4000, 0.95, seed=1)['changed_F1'] == (0, 1)
    assert score_intervals(counts, 4000, 0.4, seed=1)['changed_F1'] == (0.5, 0.5)
    one = Counts(*(count[:1] for count in counts))
    assert score_intervals(one, 100, 0.95, seed=1)['changed_F1'] == (1, 1)


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
    low, high = score_intervals(counts, 4000, 0.95, seed=0)['changed_F1']
    assert low == pytest.approx(loop[100], abs=0.003) and high == pytest.approx(loop[3900], abs=0.003)
    assert low < pooled_f1(*(int(count.sum()) for count in counts[:3])) < high


def test_the_interval_of_a_difference_is_paired() -> None:
    """The images differ a lot and the runs by one pixel in each: unpaired, the interval would hold 0."""
    rng = np.random.RandomState(1)
    a = Counts(rng.randint(50, 500, 40), np.full(40, 20), np.full(40, 20), np.full(40, 900))
    low, high = difference_interval(a, a._replace(fp=a.fp - 1), 1000, 0.95, seed=0)
    assert 0 < low < high
    assert difference_interval(a, a, 100, 0.95, seed=0) == (0, 0)


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
    assert randomisation_test(a, b, 20000, seed=0) == pytest.approx(exact, abs=1e-12)  # few images: every assignment
    assert randomisation_test(a, b, 400, seed=0) == pytest.approx(exact, abs=0.05)


def test_randomisation_by_hand() -> None:
    a = Counts(*(np.full(5, value) for value in (50, 50, 50, 850)))
    b = Counts(*(np.full(5, value) for value in (90, 10, 10, 890)))
    # Better on each of five images: only none and all swapped differ as much, 2 of 32 assignments.
    assert randomisation_test(a, b, 20000, seed=0) == pytest.approx(2 / 32, abs=1e-12)
    assert randomisation_test(a, a, 200, seed=0) == 1
    clear = random_counts(400, 0)
    better = clear._replace(tp=clear.tp + 60)
    assert randomisation_test(clear, better, 999, seed=0) == 2 / 1000  # twice the one-sided 1 in 1000


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.7, 0.6]) == [1, 1]
    assert holm([]) == []


def test_calibration_by_hand() -> None:
    histogram = np.zeros((2, 256), int)
    histogram[0, 3], histogram[1, 3] = 90, 10  # probability 3.5 / 256, of which 10 % are changed
    histogram[1, 255] = 300  # probability 255.5 / 256, all changed
    found = measure_reliability(histogram)
    low, high = 3.5 / 256, 255.5 / 256
    assert found.pixels == [100, *[0] * 14, 300]
    assert found.probability[0] == pytest.approx(low) and found.frequency[0] == pytest.approx(0.1)
    assert found.probability[1:15] == [None] * 14 == found.frequency[1:15]
    assert found.ece == pytest.approx((100 * (0.1 - low) + 300 * (1 - high)) / 400)
    assert found.brier == pytest.approx((90 * low**2 + 10 * (1 - low)**2 + 300 * (1 - high)**2) / 400)


def tile(name: str, tp: int, fp: int, fn: int, tn: int = 900) -> ScoredTile:
    return ScoredTile(0, name, slice(0, 1), slice(0, 1), Counts(tp, fp, fn, tn))


def test_windows_cover_every_pixel_once() -> None:
    covered = np.zeros((50, 70), int)
    for rows, columns in windows(covered.shape, 32):
        covered[rows, columns] += 1
    assert (covered == 1).all()


def test_cut_by_hand() -> None:
    truth, prediction = np.zeros((4, 4), np.uint8), np.zeros((4, 4), bool)
    truth[0, :3] = 1
    truth[3, 3] = 255
    prediction[0, :2] = prediction[1, 1] = prediction[3, 3] = True
    tiles = cut(7, 'x', truth, prediction, 2)
    assert [tuple(one.counts) for one in tiles] == [(2, 1, 0, 1), (0, 0, 1, 3), (0, 0, 0, 4), (0, 0, 0, 3)]
    first = tiles[0]
    assert (first.image, first.wrong, first.changed, first.pixels, first.f1) == (7, 1, 2, 4, 0.8)


def test_ranking() -> None:
    # Little change does not make an example of a good result, and a clean tile is none of a bad one.
    tiles = [tile('good', 90, 5, 5), tile('costly', 500, 100, 100), tile('small miss', 0, 0, 3), tile('clean', 0, 0, 0),
             tile('tiny but perfect', 5, 0, 0, 995), tile('poor', 10, 20, 60)]
    assert [one.name for one in worst(tiles, 9)] == ['costly', 'poor', 'good', 'small miss']
    assert [one.name for one in best(tiles, 2)] == ['good', 'costly']
    assert [one.name for one in spread_by_rank(tiles, 2)] == ['good', 'poor']
    assert spread_by_rank([tile('clean', 0, 0, 0)], 3) == []
    others = [tile('good', 90, 5, 6), tile('costly', 500, 10, 100), *tiles[2:]]
    assert [(a.wrong, b.wrong) for a, b in disagreements(tiles, others, 5)] == [(200, 110), (10, 11)]


def test_objects_by_hand() -> None:
    truth, prediction = np.zeros((60, 60), np.uint8), np.zeros((60, 60), bool)
    truth[0:9, 0:11] = 1  # 99 px: below 10²; 44 of them predicted: not found
    prediction[0:4, 0:11] = True
    truth[20:30, 0:10] = 1
    truth[30, 10] = 1  # touches the square by a corner only: one object of 101 px, 10² to 20²
    prediction[20:30, 5:10] = prediction[29, 4] = True  # 51 of them: found, and what is predicted is right
    prediction[40:60, 40:60] = True  # a false positive of 400 px, less one that is not labelled: 10² to 20²
    truth[45, 45] = 255
    scores = by_size(find_objects(truth, prediction))
    assert size_labels() == ['below 10²', '10² to 20²', '20² to 40²', '40² to 80²', '80² and more']
    assert [(s.objects, s.found, s.predicted, s.right) for s in scores] == [
        (1, 0, 2, 2), (1, 1, 1, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)]
    assert [s.pixel_recall for s in scores[:3]] == pytest.approx([44 / 99, 51 / 101, 0])
    assert scores[0].object_precision == 1 and scores[2].object_recall == 0


def test_objects_of_many_images_add_up() -> None:
    square = np.zeros((20, 20), np.uint8)
    square[:15, :15] = 1
    one = find_objects(square, square == 1)
    assert by_size(join([one, one]))[1][1:] == (2, 2, 1., 2, 2)


def test_scenes_of_tiles() -> None:
    names = [f'test_{scene}_{row}_0' for scene in range(MIN_SCENES) for row in range(2)]
    assert scenes(names, are_tiles=True) == [f'test_{scene}' for scene in range(MIN_SCENES) for _ in range(2)]
    assert scenes(names, are_tiles=False) == names
    assert scenes(names[:4], are_tiles=True) == names[:4]  # two scenes are too few to draw from
    assert scenes([*names, 'odd'], are_tiles=True) == [*names, 'odd']
