"""Losses against numbers worked out by hand."""
import math

import pytest
import torch
from mmseg.models.losses import LovaszLoss

from mamba_cd_plugin.models.losses import BinaryFocalLoss, binary_focal_loss

LOGITS = torch.tensor([0.5, 0.25]).view(1, 1, 1, 2)


def test_focal_at_even_odds() -> None:
    # p = 1/2 for both pixels: (1 - p)^2 * -log p = ln 2 / 4; alpha 0.75 on the changed one, 0.25 on the other; mean of two.
    loss = binary_focal_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[1, 0]]]), alpha=0.75, gamma=2.0)
    assert loss.item() == pytest.approx((0.75 + 0.25) * math.log(2) / 4 / 2)


def test_focal_of_a_confident_and_a_wrong_pixel() -> None:
    # logit ln 3 is probability 3/4. Changed: p = 3/4; unchanged: p of the true class = 1/4.
    logits = torch.full((1, 1, 1, 2), math.log(3))
    expected = (0.5 * 0.25**2 * -math.log(0.75) + 0.5 * 0.75**2 * -math.log(0.25)) / 2
    loss = binary_focal_loss(logits, torch.tensor([[[1, 0]]]), alpha=0.5, gamma=2.0)
    assert loss.item() == pytest.approx(expected)


def test_focal_without_focus_is_weighted_cross_entropy() -> None:
    loss = binary_focal_loss(LOGITS, torch.tensor([[[1, 0]]]), alpha=0.5, gamma=0.)
    expected = 0.5 * (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(0.25))) / 2
    assert loss.item() == pytest.approx(expected)


def test_focal_leaves_ignored_pixels_out_of_the_mean() -> None:
    ignored = binary_focal_loss(torch.tensor([[[[0., 50.]]]]), torch.tensor([[[1, 255]]]), alpha=0.75, gamma=2.0)
    assert ignored.item() == pytest.approx(0.75 * math.log(2) / 4)


def test_focal_of_ignored_pixels_only_is_zero_with_zero_gradient() -> None:
    logits = torch.randn(1, 1, 2, 2, requires_grad=True)
    loss = binary_focal_loss(logits, torch.full((1, 2, 2), 255), alpha=0.75, gamma=2.0)
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0


def test_focal_stays_finite_where_probabilities_saturate() -> None:
    logits = torch.tensor([[[[200., -200.]]]], requires_grad=True)
    loss = binary_focal_loss(logits, torch.tensor([[[0, 1]]]), alpha=0.5, gamma=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * 200) and logits.grad.isfinite().all()


@pytest.mark.parametrize('bad', [dict(alpha=1.5), dict(alpha=0.5, gamma=-1)])
def test_focal_refuses_impossible_settings(bad: dict) -> None:
    with pytest.raises(ValueError, match='alpha in 0..1 and gamma >= 0'):
        BinaryFocalLoss(**bad)


def lovasz() -> LovaszLoss:
    """mmseg's loss as the configs use it."""
    return LovaszLoss(loss_type='binary', reduction='none')


def test_lovasz_takes_one_logit() -> None:
    # Hinge errors 1 - 0.5 = 0.5 (changed) and 1 + 0.25 = 1.25 (unchanged). Worst first: losing the unchanged pixel leaves
    # intersection 1 of union 2, losing both 0 of 2; the Jaccard loss rises by 1/2 each time.
    loss = lovasz()(LOGITS, torch.tensor([[[1, 0]]]), ignore_index=255)
    assert loss.item() == pytest.approx(0.5 * 1.25 + 0.5 * 0.5)


def test_lovasz_ignores_ignored_pixels() -> None:
    # Left: one changed pixel with error 0.5, and losing it is the whole Jaccard loss.
    loss = lovasz()(LOGITS, torch.tensor([[[1, 255]]]), ignore_index=255)
    assert loss.item() == pytest.approx(0.5)
    assert lovasz()(LOGITS, torch.full((1, 1, 2), 255), ignore_index=255).item() == 0


def test_lovasz_without_change_counts_the_worst_pixel_only() -> None:
    loss = lovasz()(LOGITS, torch.tensor([[[0, 0]]]), ignore_index=255)
    assert loss.item() == pytest.approx(1.5)
