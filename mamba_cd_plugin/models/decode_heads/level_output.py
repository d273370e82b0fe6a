"""The output of one decoder level under deep supervision (V3, V4, V7)."""
from typing import Tuple

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import conv_norm_act


@MODELS.register_module()
class LevelOutput(BaseModule):
    """1x1 to a few channels, up to full size, 3x3, 1x1 to one logit.

    The outputs are upsampled to the labels, not the labels reduced: a building of 8 px has no pixel in a label at
    stride 32. At full size the few parameters are expensive (diary, V7: 参数量变化不大，但是Flop增大很多, "the
    parameters hardly change, but the FLOPs grow a lot"), but only in training: inference never runs this part.

    Args:
        channels: C_i.
        norm_cfg: norm of the 3x3 convolution.
        act_cfg: activation of the 3x3 convolution.
        width: channels at full size.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict, width: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, width, 1)
        self.refine = conv_norm_act(width, width, 3, norm_cfg, act_cfg)
        self.classify = nn.Conv2d(width, 1, 1)

    def forward(self, out: Tensor, size: Tuple[int, int]) -> Tensor:
        """out_i (N, C_i, h, w) to a logit (N, 1, *size)."""
        x = F.interpolate(self.squeeze(out), size=size, mode='bilinear', align_corners=False)
        return self.classify(self.refine(x))
