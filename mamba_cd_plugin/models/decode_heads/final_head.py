"""From stride 4 to full resolution."""
from typing import Tuple

import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import conv_norm_act


@MODELS.register_module()
class FinalUpsampler(BaseModule):
    """Twice: up by 2, then a 3x3 convolution.

    Args:
        channels: C.
        widths: channels at stride 2 and at full size. The diary names the convolutions but no widths; pixels at full
            size must not cost more than the rest of the model, nor squeeze it through too few channels.
        norm_cfg: norm of both convolutions.
        act_cfg: activation of both convolutions.
    """

    def __init__(self, channels: int, widths: Tuple[int, int], norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.out_channels = widths[1]
        self.convs = ModuleList([
            conv_norm_act(channels, widths[0], 3, norm_cfg, act_cfg),
            conv_norm_act(widths[0], widths[1], 3, norm_cfg, act_cfg)
        ])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, widths[1], 4H, 4W)."""
        for conv in self.convs:
            x = conv(F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False))
        return x
