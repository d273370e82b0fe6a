"""Losses against numbers worked out by hand."""
import math

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.losses import LovaszLoss
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mamba_cd_plugin.models.decode_heads.change_head import ChangeHead
from mamba_cd_plugin.models.losses import (
    BinaryDiceLoss,
    BinaryFocalLoss,
    SWBCELoss,
    binary_dice_loss,
    binary_focal_loss,
    swbce_loss,
    swbce_weights,
)

LOGITS = torch.tensor([0.5, 0.25]).view(1, 1, 1, 2)


def test_focal_at_even_odds() -> None:
    # p = 1/2 for both pixels: (1 - p)^2 * -log p = ln 2 / 4; alpha 0.75 on the changed one, 0.25 on the other; mean of
    # two.
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
    # Hinge errors 1 - 0.5 = 0.5 (changed) and 1 + 0.25 = 1.25 (unchanged). Worst first: losing the unchanged pixel
    # leaves intersection 1 of union 2, losing both 0 of 2; the Jaccard loss rises by 1/2 each time.
    loss = lovasz()(LOGITS, torch.tensor([[[1, 0]]]), ignore_index=255)
    assert loss.item() == pytest.approx(0.5 * 1.25 + 0.5 * 0.5)


def test_lovasz_ignores_ignored_pixels() -> None:
    # Left: one changed pixel with error 0.5, and losing it is the whole Jaccard loss.
    loss = lovasz()(LOGITS, torch.tensor([[[1, 255]]]), ignore_index=255)
    assert loss.item() == pytest.approx(0.5)
    assert lovasz()(LOGITS, torch.full((1, 1, 2), 255), ignore_index=255).item() == 0


def test_a_batch_without_ground_truth_costs_nothing_in_any_head(toy_v8: nn.Module) -> None:
    """Also by mmseg's cross entropy, which by itself fails on it."""
    head = toy_v8.decode_head
    head.loss_decode = nn.ModuleList([
        MODELS.build(dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_name='loss_bce')),
        lovasz(), BinaryDiceLoss()])
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)

    def losses(label: int) -> dict[str, torch.Tensor]:
        truth = PixelData(data=torch.full((1, 8, 8), label))
        return head.loss_by_feat(logits, [SegDataSample(gt_sem_seg=truth) for _ in range(2)])

    assert {name: loss.item() for name, loss in losses(255).items()} == dict(loss_bce=0., loss_lovasz=0., loss_dice=0.)
    sum(losses(255).values()).backward()
    assert not logits.grad.any()
    assert losses(0)['loss_bce'].item() == pytest.approx(math.log(2))


def test_weights_of_two_classes_are_refused_where_one_logit_takes_one() -> None:
    """mmseg would fail in the first step, on shapes; one weight counts for the changed pixels."""

    class Head(ChangeHead):

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs

    def head(weights: list) -> ChangeHead:
        loss = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, class_weight=weights)
        return Head([4], 4, dict(gone=None, bce=loss))

    with pytest.raises(ValueError, match=r'loss_decode.bce.class_weight = \[0.5, 2.0\], 2 .* such as \[4\]'):
        head([0.5, 2.0])
    with pytest.raises(ValueError, match=r'loss_decode.hinge.class_weight = \[1, 2\], .*: leave it out; loss_weight'):
        Head([4], 4, dict(hinge=dict(type='LovaszLoss', loss_type='binary', per_image=True, class_weight=[1, 2])))
    loss = head([4.])
    truth = SegDataSample(gt_sem_seg=PixelData(data=torch.tensor([[[0, 1]]])))
    assert loss.loss_by_feat(torch.zeros(1, 1, 1, 2), [truth])['loss_ce'].item() == pytest.approx(2.5 * math.log(2))


def test_lovasz_without_change_counts_the_worst_pixel_only() -> None:
    loss = lovasz()(LOGITS, torch.tensor([[[0, 0]]]), ignore_index=255)
    assert loss.item() == pytest.approx(1.5)


# Five pixels: predicted changed where the logit is positive. One each of TP, FP, FN and two TN.
SW_LOGITS = torch.tensor([2., 2., -2., -2., -2.])
SW_TARGET = torch.tensor([1., 0., 1., 0., 0.])


def test_swbce_weights_by_hand() -> None:
    unchanged, changed = swbce_weights(SW_LOGITS, SW_TARGET, torch.ones(5, dtype=torch.bool), min_weight=0.)
    assert unchanged.item() == pytest.approx(1 / 3)  # TP / (TP + FP + FN)
    assert changed.item() == pytest.approx(2 / 4)  # TN / (TN + FN + FP)


def test_swbce_by_hand() -> None:
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    expected = (0.5 * (right + wrong) + (wrong + 2 * right) / 3) / 5
    loss = swbce_loss(SW_LOGITS.view(1, 1, 1, 5), SW_TARGET.long().view(1, 1, 5), min_weight=0.)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_swbce_on_a_batch_without_change_is_finite() -> None:
    # TP + FP + FN = 0: published 0/0. Guarded: a perfect IoU of 1, so plain cross entropy.
    logits = torch.full((1, 1, 1, 2), -2., requires_grad=True)
    loss = swbce_loss(logits, torch.zeros(1, 1, 2, dtype=torch.long), min_weight=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(math.log1p(math.exp(-2))) and logits.grad.isfinite().all()


def test_swbce_pulls_on_the_background_while_nothing_is_found() -> None:
    # TP = 0 and one pixel missed: published weight of the background 0.
    logits = torch.full((1, 1, 1, 2), -2., requires_grad=True)
    swbce_loss(logits, torch.tensor([[[1, 0]]]), min_weight=0.1).backward()
    # d/dx of w * log(1 + e^x) / 2 is w * sigmoid(-2) / 2
    assert logits.grad[0, 0, 0, 1].item() == pytest.approx(0.1 / (1 + math.exp(2)) / 2)


def test_swbce_ignores_ignored_pixels_in_weights_and_mean() -> None:
    labels = torch.cat([SW_TARGET.long(), torch.tensor([255])]).view(1, 1, 6)
    logits = torch.cat([SW_LOGITS, torch.tensor([30.])]).view(1, 1, 1, 6)
    plain = swbce_loss(SW_LOGITS.view(1, 1, 1, 5), SW_TARGET.long().view(1, 1, 5), min_weight=0.)
    assert swbce_loss(logits, labels, min_weight=0.).item() == pytest.approx(plain.item())
    assert swbce_loss(logits, torch.full((1, 1, 6), 255), min_weight=0.).item() == 0


def test_swbce_refuses_impossible_settings() -> None:
    with pytest.raises(ValueError, match='min_weight in 0..1'):
        SWBCELoss(min_weight=2)


def test_dice_counts_probabilities_over_the_batch() -> None:
    # Probabilities 3/4, 1/4, 1/2 on labels 1, 0, ignored; then 1/2 on 1: p y = 5/4, p = 3/2, y = 2.
    logits = torch.tensor([[[[math.log(3), -math.log(3), 0.]]], [[[0., 0., 0.]]]])
    labels = torch.tensor([[[1, 0, 255]], [[1, 255, 255]]])
    assert binary_dice_loss(logits, labels).item() == pytest.approx(1 - (2 * 5 / 4 + 1) / (3 / 2 + 2 + 1))


def test_dice_without_change_pulls_every_probability_down() -> None:
    logits = torch.zeros(1, 1, 1, 2, requires_grad=True)
    loss = BinaryDiceLoss(loss_weight=2.)(logits, torch.zeros(1, 1, 2, dtype=torch.long))
    loss.backward()
    assert loss.item() == pytest.approx(2 * (1 - 1 / 2)) and (logits.grad > 0).all()


def test_dice_of_ignored_pixels_only_is_zero_with_zero_gradient() -> None:
    logits = torch.randn(1, 1, 2, 2, requires_grad=True)
    loss = binary_dice_loss(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0
