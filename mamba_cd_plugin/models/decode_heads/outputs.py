"""The last layers of the decoder: the upsampling to full size, and the outputs of the levels."""

import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

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

    def __init__(self, channels: int, widths: tuple[int, int], norm_cfg: dict, act_cfg: dict) -> None:
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

    def forward(self, out: Tensor, size: tuple[int, int]) -> Tensor:
        """out_i (N, C_i, h, w) to a logit (N, 1, *size)."""
        x = F.interpolate(self.squeeze(out), size=size, mode='bilinear', align_corners=False)
        return self.classify(self.refine(x))
