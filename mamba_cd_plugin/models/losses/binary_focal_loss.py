"""Focal loss for one logit."""
from typing import Optional

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn


def binary_focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float, ignore_index: int = 255) -> Tensor:
    """Mean focal loss over the pixels that are not ignored.

    With p the probability of the true class: -alpha_t (1 - p)^gamma log p, where alpha_t is ``alpha`` on changed pixels
    and ``1 - alpha`` on the others.

    Source: Lin et al., ICCV 2017, arXiv 1708.02002, equation 5.

    Args:
        logits: (N, 1, H, W).
        labels: (N, H, W) of 0, 1 and ``ignore_index``.
        alpha: weight of the changed class, 0..1.
        gamma: focusing exponent; 0 gives weighted cross entropy.
        ignore_index: label of pixels that count nothing.

    Returns:
        A scalar; 0 (with zero gradients) where every pixel is ignored.
    """
    logits = logits.squeeze(1).float()
    valid = labels != ignore_index
    target = (labels == 1).to(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    # sigmoid((1 - 2y) x) is 1 - p, the probability of the wrong class, without cancellation for p near 1.
    wrong = ((1 - 2 * target) * logits).sigmoid()
    weight = (alpha * target + (1 - alpha) * (1 - target)) * valid
    return (weight * wrong**gamma * cross_entropy).sum() / valid.sum().clamp(min=1)


@MODELS.register_module()
class BinaryFocalLoss(nn.Module):
    """Focal loss for one logit per pixel, as a registered component.

    mmseg's FocalLoss raises on one logit, and on CUDA it needs mmcv's compiled op.

    Args:
        alpha: weight of the changed class, 0..1.
        gamma: focusing exponent.
        loss_weight: factor.
        loss_name: name in the log; must begin with ``loss_`` to be part of the sum.

    Raises:
        ValueError: if alpha is outside 0..1 or gamma is negative.
    """

    def __init__(self, alpha: float, gamma: float = 2.0, loss_weight: float = 1.0,
                 loss_name: str = 'loss_focal') -> None:
        super().__init__()
        if not 0 <= alpha <= 1 or gamma < 0:
            raise ValueError(f'BinaryFocalLoss: expected alpha in 0..1 and gamma >= 0, got {alpha} and {gamma}')
        self.alpha, self.gamma, self.loss_weight, self.loss_name = alpha, gamma, loss_weight, loss_name

    def forward(self, logits: Tensor, labels: Tensor, weight: Optional[Tensor] = None,
                ignore_index: int = 255) -> Tensor:
        """(N, 1, H, W) logits and (N, H, W) labels to a scalar; ``weight`` (mmseg's pixel sampler) is not supported."""
        if weight is not None:
            raise ValueError('BinaryFocalLoss: pixel weights are not supported; remove the sampler from the head')
        return self.loss_weight * binary_focal_loss(logits, labels, self.alpha, self.gamma, ignore_index)
