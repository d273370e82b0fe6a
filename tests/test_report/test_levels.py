"""Probabilities in levels, and what is counted from them."""
import numpy as np
import pytest
import torch

from mamba_cd_plugin.evaluation import change_scores
from mamba_cd_plugin.report.levels import (
    SCORES,
    Counts,
    f1,
    histogram,
    nearest_level,
    outcomes,
    over_thresholds,
    to_levels,
)


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
