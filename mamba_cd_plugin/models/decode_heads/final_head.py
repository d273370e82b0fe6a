"""From stride 4 to full resolution."""
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import conv_norm_act


@MODELS.register_module()
class FinalUpsampler(BaseModule):
    """Twice: up by 2, then a 3x3 convolution; channels C, C/2, C/4.

    The spec names the convolutions but no widths: they halve with each doubling of the resolution, so that the pixels
    at full size do not cost more than the rest of the model.

    Args:
        channels: C.
        norm_cfg: norm of both convolutions.
        act_cfg: activation of both convolutions.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.out_channels = channels // 4
        self.convs = ModuleList(
            [conv_norm_act(2 * c, c, 3, norm_cfg, act_cfg) for c in (channels // 2, channels // 4)])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C / 4, 4H, 4W)."""
        for conv in self.convs:
            x = conv(F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False))
        return x
