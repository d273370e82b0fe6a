"""The losses of the package for one logit per pixel: focal loss, SWBCE, Dice and Lovász-Softmax."""

import torch
import torch.nn.functional as F
from mmseg.models.losses.lovasz_loss import lovasz_softmax_flat
from mmseg.registry import MODELS
from torch import Tensor, nn


class OneLogitLoss(nn.Module):
    """What every loss here is to mmseg's heads: a weighted scalar with a name; a loss gives :meth:`measure`.

    Args:
        loss_weight: factor.
        loss_name: name in the log; must begin with ``loss_`` to be part of the sum.
    """

    def __init__(self, loss_weight: float, loss_name: str) -> None:
        super().__init__()
        self.loss_weight, self.loss_name = loss_weight, loss_name

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None,
                ignore_index: int = 255) -> Tensor:
        """(N, 1, H, W) logits and (N, H, W) labels to a scalar; ``weight`` (mmseg's pixel sampler) is not supported."""
        if weight is not None:
            raise ValueError(f'{type(self).__name__}: pixel weights are not supported; remove the sampler from the '
                             'head')
        return self.loss_weight * self.measure(logits, labels, ignore_index)

    def measure(self, logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
        """The loss without its weight."""
        raise NotImplementedError


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
class BinaryFocalLoss(OneLogitLoss):
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
        super().__init__(loss_weight, loss_name)
        if not 0 <= alpha <= 1 or gamma < 0:
            raise ValueError(f'BinaryFocalLoss: expected alpha in 0..1 and gamma >= 0, got {alpha} and {gamma}')
        self.alpha, self.gamma = alpha, gamma

    def measure(self, logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
        """See :func:`binary_focal_loss`."""
        return binary_focal_loss(logits, labels, self.alpha, self.gamma, ignore_index)


@torch.no_grad()
def swbce_weights(logits: Tensor, target: Tensor, valid: Tensor, min_weight: float) -> tuple[Tensor, Tensor]:
    """Weights of unchanged and changed pixels from the batch's own confusion at probability 0.5.

    w_unchanged = TP / (TP + FP + FN), the IoU of the changed class: the better change is found, the more the background
    counts. w_changed = TN / (TN + FN + FP), the IoU of the background. As published the first is 0/0 on a batch without
    change and without a prediction of it, and 0, so that no background pixel has a gradient, while nothing is found
    yet. Here an empty union counts as a perfect IoU of 1, and no weight falls below ``min_weight``.

    Args:
        logits: any shape.
        target: 0/1, the same shape.
        valid: True where the pixel counts.
        min_weight: least weight.

    Returns:
        Two scalars, w_unchanged and w_changed.
    """
    predicted, actual = (logits > 0) & valid, (target > 0) & valid
    tp = (predicted & actual).sum()
    wrong = ((predicted != actual) & valid).sum()
    tn = valid.sum() - tp - wrong

    def iou(right: Tensor) -> Tensor:
        union = right + wrong
        return torch.where(union > 0, right / union.clamp(min=1), 1.).clamp(min=min_weight)

    return iou(tp), iou(tn)


def swbce_loss(logits: Tensor, labels: Tensor, min_weight: float, ignore_index: int = 255) -> Tensor:
    """Binary cross entropy with the two weights of :func:`swbce_weights`, mean over the pixels that are not ignored.

    Source: Zhang et al., AERNet, TGRS 2023.

    Args:
        logits: (N, 1, H, W).
        labels: (N, H, W) of 0, 1 and ``ignore_index``.
        min_weight: least weight of a class.
        ignore_index: label of pixels that count nothing.

    Returns:
        A scalar; 0 (with zero gradients) where every pixel is ignored.
    """
    logits = logits.squeeze(1).float()
    valid = labels != ignore_index
    target = (labels == 1).to(logits)
    w_unchanged, w_changed = swbce_weights(logits, target, valid, min_weight)
    weight = torch.where(target > 0, w_changed, w_unchanged) * valid
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    return (weight * cross_entropy).sum() / valid.sum().clamp(min=1)


@MODELS.register_module()
class SWBCELoss(OneLogitLoss):
    """SWBCE as a registered component.

    Args:
        min_weight: least weight of a class, 0..1. 0.1 lets the background pull with a tenth of its full strength while
            no change is found yet; 0 is the published loss but for its NaN.
        loss_weight: factor.
        loss_name: name in the log; must begin with ``loss_`` to be part of the sum.

    Raises:
        ValueError: if ``min_weight`` is outside 0..1.
    """

    def __init__(self, min_weight: float = 0.1, loss_weight: float = 1.0, loss_name: str = 'loss_swbce') -> None:
        super().__init__(loss_weight, loss_name)
        if not 0 <= min_weight <= 1:
            raise ValueError(f'SWBCELoss: expected min_weight in 0..1, got {min_weight}')
        self.min_weight = min_weight

    def measure(self, logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
        """See :func:`swbce_loss`."""
        return swbce_loss(logits, labels, self.min_weight, ignore_index)


def binary_dice_loss(logits: Tensor, labels: Tensor, ignore_index: int = 255) -> Tensor:
    """One minus the soft F1 of the changed class, over all pixels of the batch that are not ignored.

    With p the probability of a change and y the label: 1 - (2 sum(p y) + 1) / (sum(p) + sum(y) + 1). The sums run over
    the batch and not over each image, because most tiles show no change.

    Source: Milletari et al., 3DV 2016, arXiv 1606.04797, equation 3, without the squares and with 1 added to both sums,
    so that a batch without change has a gradient.

    Args:
        logits: (N, 1, H, W).
        labels: (N, H, W) of 0, 1 and ``ignore_index``.
        ignore_index: label of pixels that count nothing.

    Returns:
        A scalar; 0 (with zero gradients) where every pixel is ignored.
    """
    valid = labels != ignore_index
    changed = logits.squeeze(1).float().sigmoid() * valid
    target = (labels == 1).to(changed)
    return 1 - (2 * (changed * target).sum() + 1) / (changed.sum() + target.sum() + 1)


@MODELS.register_module()
class BinaryDiceLoss(OneLogitLoss):
    """The Dice loss of one logit as a registered component; mmseg's takes one logit for class 0 everywhere.

    Args:
        loss_weight: factor.
        loss_name: name in the log; must begin with ``loss_`` to be part of the sum.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = 'loss_dice') -> None:
        super().__init__(loss_weight, loss_name)

    def measure(self, logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
        """See :func:`binary_dice_loss`."""
        return binary_dice_loss(logits, labels, ignore_index)


def lovasz_softmax_loss(logits: Tensor, labels: Tensor, ignore_index: int = 255) -> Tensor:
    """Lovász-Softmax loss of the two classes unchanged and changed, mean over those that occur in the batch.

    One logit z stands for the two logits (0, z), whose softmax is (1 - p, p) with p = sigmoid(z). The probabilities
    are compared with the labels, where mmseg's binary Lovász loss is the hinge, which reads the logits themselves.

    Source: Berman et al., CVPR 2018, arXiv 1705.08790, by mmseg's own function.

    Args:
        logits: (N, 1, H, W).
        labels: (N, H, W) of 0, 1 and ``ignore_index``.
        ignore_index: label of pixels that count nothing.

    Returns:
        A scalar; 0 (with zero gradients) where every pixel is ignored.
    """
    logits = logits.squeeze(1).float()
    valid = labels != ignore_index
    if not valid.any():
        return 0 * logits.sum()
    changed = logits[valid].sigmoid()
    return lovasz_softmax_flat(torch.stack([1 - changed, changed], dim=1), labels[valid], classes='present')


@MODELS.register_module()
class LovaszSoftmaxLoss(OneLogitLoss):
    """The Lovász-Softmax loss of one logit as a registered component.

    Args:
        loss_weight: factor.
        loss_name: name in the log; must begin with ``loss_`` to be part of the sum.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = 'loss_lovasz') -> None:
        super().__init__(loss_weight, loss_name)

    def measure(self, logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
        """See :func:`lovasz_softmax_loss`."""
        return lovasz_softmax_loss(logits, labels, ignore_index)
