"""Temperature and threshold, on logits whose right answer is known."""
import math

import numpy as np
import pytest

from mamba_cd_plugin.evaluation.calibration import (
    best_threshold,
    calibrate,
    fit_temperature,
    logit_histogram,
    negative_log_likelihood,
)


def histogram(*groups: tuple) -> np.ndarray:
    """Groups of (logit, number of unchanged pixels, number of changed ones)."""
    total = np.zeros((2, 8000), np.int64)
    for logit, unchanged, changed in groups:
        truth = np.repeat([0, 1], [unchanged, changed])
        total += logit_histogram(np.full(len(truth), float(logit)), truth)
    return total


def test_temperature_brings_the_logits_to_the_frequencies() -> None:
    # Where it says 4 (or -4) it is right in 3 of 4 cases, whose logit is ln 3: the temperature is 4 / ln 3 = 3.64.
    found = fit_temperature(histogram((4, 25, 75), (-4, 75, 25)))
    assert found == pytest.approx(4 / math.log(3), rel=0.01)
    # And too timid ones, 0.5 instead of ln 3.
    assert fit_temperature(histogram((0.5, 25, 75), (-0.5, 75, 25))) == pytest.approx(0.5 / math.log(3), rel=0.02)


def test_likelihood_by_hand() -> None:
    found = negative_log_likelihood(histogram((2, 1, 3)), temperature=2.)
    assert found == pytest.approx((math.log1p(math.exp(1)) + 3 * math.log1p(math.exp(-1))) / 4, abs=0.01)


def test_threshold_by_hand() -> None:
    # From -1 up: 40 changed and 10 unchanged pixels are called changed, 5 are missed: F1 80 / (50 + 45).
    # From 1 up: 20 found, 25 missed: 40 / (20 + 45). Everything: 90 / (45 + 110).
    threshold, f1 = best_threshold(histogram((1, 0, 20), (-1, 10, 20), (-3, 55, 5)))
    assert f1 == pytest.approx(80 / 95)
    # Any logit between -3 and -1 does that; the middle one is taken.
    assert threshold == pytest.approx(1 / (1 + math.exp(2)), abs=0.002)
    halved, same = best_threshold(histogram((1, 0, 20), (-1, 10, 20), (-3, 55, 5)), temperature=2.)
    assert same == f1 and halved == pytest.approx(1 / (1 + math.e), abs=0.002)


def test_all_of_it_at_once() -> None:
    found = calibrate(histogram((4, 25, 75), (-4, 75, 25)))
    assert found.nll_after < found.nll_before and found.f1_before == pytest.approx(150 / 200)


def test_ignored_pixels_count_nothing_and_large_logits_stay() -> None:
    counts = logit_histogram(np.array([[1000., -1000., 0.]]), np.array([[1, 0, 255]]))
    assert counts.sum(axis=1).tolist() == [1, 1] and counts[1, -1] == counts[0, 0] == 1


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(ValueError, match='100 unchanged and 0 changed pixels: both are needed'):
        fit_temperature(histogram((1, 100, 0)))
    with pytest.raises(ValueError, match='the logits say nothing about change'):
        fit_temperature(histogram((4, 50, 50), (-4, 50, 50)))
    with pytest.raises(ValueError, match='the logits make almost no error'):
        fit_temperature(histogram((1, 0, 100), (-1, 100, 0)))
    with pytest.raises(ValueError, match='NaN or infinite'):
        logit_histogram(np.array([np.nan]), np.array([0]))
    with pytest.raises(ValueError, match='expected the same'):
        logit_histogram(np.zeros(3), np.zeros(2))
