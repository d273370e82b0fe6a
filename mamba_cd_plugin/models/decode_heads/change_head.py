"""What every decode head here has in common: one logit per pixel, named losses, outputs of the input's size."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.utils import SampleList
from torch import Tensor

from mamba_cd_plugin.models.losses import OneLogitLoss
from mamba_cd_plugin.models.structures import FusedPyramid


def without_padding(logits: Tensor, inputs: FusedPyramid) -> Tensor:
    """Crop the padding that the encoder added at the right and at the bottom."""
    height, width = inputs.size
    return logits[..., :height, :width].contiguous()  # mmseg's LovaszLoss views its logits as one row


class ChangeHead(BaseDecodeHead):
    """mmseg's decode head for a change map: one logit per pixel, read from all levels of the encoder.

    Args:
        in_channels: C_i of the levels, stride 4 first.
        channels: channels of the features to classify.
        loss_decode: dict of named loss configs, which a leaf can change one by one (a list would be replaced whole);
            a loss set to None is left out.
        threshold: probability above which a pixel is called changed.
        num_classes: 2, unchanged and changed; here only so that a config of mmseg's may say it.
        out_channels: 1, the logit of a change; likewise.
        **kwargs: see mmseg's BaseDecodeHead.

    Raises:
        ValueError: If num_classes or out_channels is another, or a loss has weights of several classes.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int,
                 loss_decode: dict[str, dict | None],
                 threshold: float = 0.5,
                 num_classes: int = 2,
                 out_channels: int = 1,
                 **kwargs: Any) -> None:
        if (num_classes, out_channels) != (2, 1):
            raise ValueError(
                f'{type(self).__name__}: num_classes = {num_classes} and out_channels = {out_channels}, expected 2 and '
                '1. A change map has the classes unchanged and changed, told apart by one logit; leave both keys out, '
                'and map labels of more classes to 0 and 1 when you prepare the data')
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(range(len(in_channels))),
            input_transform='multiple_select',
            channels=channels,
            num_classes=num_classes,
            out_channels=out_channels,
            threshold=threshold,
            # mmseg's head builds them in the runner's scope, which is another one under Open-CD.
            loss_decode=[dict(loss, _scope_='mmseg') for loss in loss_decode.values() if loss is not None],
            **kwargs)
        names = (name for name, loss in loss_decode.items() if loss is not None)
        for name, loss in zip(names, self.loss_decode):
            weights = getattr(loss, 'class_weight', None)
            if weights is not None and np.size(weights) != 1:
                advice = 'leave it out; loss_weight weights a loss as a whole'
                if isinstance(loss, CrossEntropyLoss):  # the others ignore one number, or weight all pixels with it
                    advice = 'give class_weight=[w], where changed pixels shall count w times as much as others'
                    if np.size(weights) == 2 and weights[0]:
                        advice += f', such as [{weights[1] / weights[0]:g}]'
                raise ValueError(
                    f'{type(self).__name__}: loss_decode.{name}.class_weight = {weights}, {np.size(weights)} numbers; '
                    f'there is one logit, that of a change, and no weight of each class: {advice}')

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Every loss on one output's logits.

        mmseg's own resizes the logits to the labels, which would hide labels of another size, and adds ``acc_seg``,
        which for one logit compares class 0 with the label whatever was predicted. Computed in float32 under autocast.
        Where every pixel is ignored, a loss of mmseg's is 0 as ours are: its cross entropy fails there.

        Raises:
            ValueError: if the labels do not have the size of the images.
        """
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        if labels.shape[1:] != seg_logits.shape[2:]:
            raise ValueError(f'{type(self).__name__}: the labels have {tuple(labels.shape[1:])} pixels (H, W) but the '
                             f'images {tuple(seg_logits.shape[2:])}; a step of the pipeline resizes or crops only one '
                             'of them')
        with torch.autocast(seg_logits.device.type, enabled=False):  # sums over all pixels, whatever the model ran in
            logits = seg_logits.float()
            return {loss.loss_name: loss(logits, labels, ignore_index=self.ignore_index)
                    if isinstance(loss, OneLogitLoss) or (labels != self.ignore_index).any() else 0 * logits.sum()
                    for loss in self.loss_decode}
