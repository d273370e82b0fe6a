"""Each known cause, from constructed evidence."""
from dataclasses import replace

import numpy as np
import pytest

from mamba_cd_plugin.engine import diagnosis
from mamba_cd_plugin.engine.diagnosis import Evidence, diagnose_collapse, diagnose_nonfinite, format_verdicts

FALLING = np.linspace(1., 0.4, 80)
HEALTHY = Evidence(
    label_pixels=(95_000, 4_700, 300),
    losses={'loss': FALLING, 'loss_focal': FALLING / 10, 'loss_lovasz': FALLING * 0.9},
    rates=np.full(80, 1e-4),
    gradient_norms={'loss_focal': 0.5, 'loss_lovasz': 2.},
    batch_label_pixels=(950, 47, 3))


def causes(verdicts: list) -> list:
    """Names of the causes that fit, most likely first."""
    return [verdict.cause for verdict in verdicts if verdict.fits]


@pytest.mark.parametrize('diagnose', [diagnose_collapse, diagnose_nonfinite])
def test_a_healthy_run_fits_no_cause(diagnose) -> None:
    verdicts = diagnose(HEALTHY)
    assert causes(verdicts) == []
    assert 'None of the known causes fits' in format_verdicts(verdicts)


@pytest.mark.parametrize(('change', 'cause', 'words'), [
    ({'label_pixels': (100, 0, 0)}, diagnosis.LABELS, 'all 0'),
    ({'label_pixels': (95, 0, 5)}, diagnosis.LABELS, 'map 255 to 1'),
    ({'label_pixels': (0, 0, 100)}, diagnosis.LABELS, 'ignore value 255'),
    ({'label_pixels': (0, 100, 0)}, diagnosis.LABELS, 'all 1'),
    ({'label_pixels': (9_990, 10, 0)}, diagnosis.LABELS, '0.10 %'),
    ({'gradient_norms': {'loss_focal': 0., 'loss_lovasz': 0.}}, diagnosis.LOSS, 'No term'),
    ({'gradient_norms': {'loss_focal': 1e-4, 'loss_lovasz': 2.}}, diagnosis.LOSS, 'loss_focal contributes'),
    ({'losses': {'loss': np.r_[FALLING, np.full(20, 3.)]}}, diagnosis.HIGH_RATE, 'jumped'),
    ({'losses': {'loss': np.r_[np.full(10, 1.), np.full(10, 5.), np.full(60, 0.9)]}}, diagnosis.HIGH_RATE, 'jumped'),
    ({'losses': {'loss': np.linspace(1., 0.99, 80)}}, diagnosis.LOW_RATE, 'hardly moved'),
    ({'rates': np.r_[np.full(40, 1e-4), np.full(40, 1e-9)]}, diagnosis.LOW_RATE, 'schedule'),
    ({'loss_scale': 2. ** -3}, diagnosis.FP16, '--amp bf16'),
])
def test_cause_of_a_collapse(change: dict, cause: str, words: str) -> None:
    verdicts = diagnose_collapse(replace(HEALTHY, **change))
    assert causes(verdicts) == [cause]
    assert words in format_verdicts(verdicts).splitlines()[0] + format_verdicts(verdicts).splitlines()[1]


def test_a_healthy_loss_scale_is_not_the_cause_of_a_collapse() -> None:
    assert causes(diagnose_collapse(replace(HEALTHY, loss_scale=65536.))) == []


@pytest.mark.parametrize(('change', 'cause', 'words'), [
    ({'bad_images': ['train/A/3.png']}, diagnosis.INPUTS, 'train/A/3.png'),
    ({'batch_label_pixels': (0, 0, 50)}, diagnosis.LABELS, '0/0'),
    ({'loss_scale': 65536.}, diagnosis.FP16, '65504'),
    ({'losses': {'loss': np.array([1., 1.1, 4., 9., np.nan])}}, diagnosis.HIGH_RATE, 'jumped'),
])
def test_cause_of_a_nonfinite_loss(change: dict, cause: str, words: str) -> None:
    verdicts = diagnose_nonfinite(replace(HEALTHY, **change))
    assert causes(verdicts) == [cause]
    assert words in format_verdicts(verdicts)


def test_nothing_is_concluded_from_nothing() -> None:
    assert causes(diagnose_collapse(Evidence())) == []
    assert causes(diagnose_nonfinite(Evidence())) == []


def test_causes_that_fit_come_first() -> None:
    text = format_verdicts(diagnose_collapse(replace(HEALTHY, losses={'loss': np.full(80, 0.7)})))
    assert text.startswith('Likely cause, learning rate too low')
    assert 'Not the cause, labels' in text
