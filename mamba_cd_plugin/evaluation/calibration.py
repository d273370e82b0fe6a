"""Calibration of probabilities by one temperature for all logits, chosen on data that was not trained on."""
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

# Logits are counted in bins of 0.01 from -40 to 40: the probability of a bin is known to 0.0025 at worst, and a
# validation set of any size takes 128 KB.
LIMIT, BINS = 40., 8000
CENTRES = (np.arange(BINS) + 0.5) * (2 * LIMIT / BINS) - LIMIT
# Beyond these a fit has run away.
TEMPERATURES = (0.05, 20.)


class Calibration(NamedTuple):
    """What was chosen on a validation set, and what it does there.

    Attributes:
        temperature: Divides the logits.
        threshold: Probability, after the temperature, above which F1 of the changed pixels is highest.
        nll_before: Mean negative log-likelihood of a pixel, in nats, as the model is.
        nll_after: The same with the temperature.
        f1_before: F1 of the changed pixels at 0.5, which the temperature does not change.
        f1_after: At the threshold.
    """
    temperature: float
    threshold: float
    nll_before: float
    nll_after: float
    f1_before: float
    f1_after: float


def logit_histogram(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Count the logits of unchanged and changed pixels.

    Args:
        logits: Logits of any shape.
        truth: 0 or 1, the same shape; pixels with any other value, such as 255, are left out.

    Returns:
        int64 (2, BINS): of unchanged pixels, of changed ones. Histograms of many images may be added.

    Raises:
        ValueError: If the shapes differ or a logit is not finite.
    """
    if logits.shape != truth.shape:
        raise ValueError(f'The logits have shape {logits.shape} but the label {truth.shape}, expected the same')
    if not np.isfinite(logits).all():
        raise ValueError('The model gave logits that are NaN or infinite; its weights are damaged, or it diverged')
    index = np.clip((logits + LIMIT) * (BINS / (2 * LIMIT)), 0, BINS - 1).astype(np.int64)
    return np.stack([np.bincount(index[truth == value], minlength=BINS) for value in (0, 1)])


def negative_log_likelihood(histogram: np.ndarray, temperature: float) -> float:
    """Mean over the pixels, in nats."""
    scaled = CENTRES / temperature
    # -log(1 - p) of unchanged pixels and -log(p) of changed ones.
    total = histogram[0] @ np.logaddexp(0, scaled) + histogram[1] @ np.logaddexp(0, -scaled)
    return float(total / histogram.sum())


def fit_temperature(histogram: np.ndarray) -> float:
    """The temperature with the smallest negative log-likelihood.

    Source: Guo et al., ICML 2017, arXiv 1706.04599, section 4.2.

    Args:
        histogram: Output of :func:`logit_histogram`.

    Raises:
        ValueError: If there is no such temperature: the histogram holds only one class, or logits that say nothing (the
            larger, the better), or ones without an error (the smaller).
    """
    unchanged, changed = histogram.sum(axis=1)
    if not unchanged or not changed:
        raise ValueError(f'A temperature cannot be chosen on {unchanged:,} unchanged and {changed:,} changed pixels: '
                         'both are needed. Take the validation split of a data set with change')
    # Over its logarithm, in which the likelihood has one minimum.
    fit = minimize_scalar(lambda log: negative_log_likelihood(histogram, np.exp(log)),
                          bounds=np.log(TEMPERATURES), method='bounded', options=dict(xatol=1e-4))
    temperature = float(np.exp(fit.x))
    if not 1.01 * TEMPERATURES[0] < temperature < TEMPERATURES[1] / 1.01:
        reason = 'say nothing about change' if temperature > 1 else 'make almost no error'
        raise ValueError(f'No temperature from {TEMPERATURES[0]} to {TEMPERATURES[1]} fits: the logits {reason}. Train '
                         'the model longer, or calibrate on more pairs that it has not seen')
    return temperature


def best_threshold(histogram: np.ndarray, temperature: float = 1.) -> tuple[float, float]:
    """The probability above which F1 of the changed pixels is highest, the middle of all such, and that F1."""
    tp, fp = (np.cumsum(histogram[value, ::-1])[::-1] for value in (1, 0))
    f1 = 2 * tp / np.maximum(tp + fp + histogram[1].sum(), 1)
    lower_edges = CENTRES[f1 == f1.max()] - LIMIT / BINS
    logit = (lower_edges[0] + lower_edges[-1]) / 2 / temperature
    return float(1 / (1 + np.exp(-logit))), float(f1.max())


def calibrate(histogram: np.ndarray) -> Calibration:
    """Choose a temperature and a threshold; see :func:`fit_temperature` and :func:`best_threshold` for the errors."""
    temperature = fit_temperature(histogram)
    threshold, f1_after = best_threshold(histogram, temperature)
    (fp, tp), changed = histogram[:, BINS // 2:].sum(axis=1), histogram[1].sum()
    return Calibration(temperature, threshold, negative_log_likelihood(histogram, 1.),
                       negative_log_likelihood(histogram, temperature),
                       float(2 * tp / max(tp + fp + changed, 1)), f1_after)
