"""Channel reduction (降通道, "reduce channels"): every step that takes k*C channels to C."""
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from .conv import conv_norm_act


@MODELS.register_module()
class DirectReduction(BaseModule):
    """Two 3x3 convolutions, straight to C (V1, V2).

    Args:
        in_channels: k * C.
        out_channels: C.
        norm_cfg: norm after each convolution.
        act_cfg: activation after each norm.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.reduce = conv_norm_act(in_channels, out_channels, 3, norm_cfg, act_cfg)
        self.refine = conv_norm_act(out_channels, out_channels, 3, norm_cfg, act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(N, k*C, H, W) to (N, C, H, W)."""
        return self.refine(self.reduce(x))


@MODELS.register_module()
class BottleneckReduction(BaseModule):
    """First down to C/2, then up to C (from V3 on; diary: 先降四倍，再提两倍, "first down by four, then up by two").

    The diary does not name the kernels: a 1x1 mixes the k inputs where channels are many, and a 3x3 works where they
    are few, as in a ResNet bottleneck. Three inputs (3C) are cut to the same C/2.

    Args:
        in_channels: k * C.
        out_channels: C, even.
        norm_cfg: norm after each convolution.
        act_cfg: activation after each norm.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.cut = conv_norm_act(in_channels, out_channels // 2, 1, norm_cfg, act_cfg)
        self.raise_ = conv_norm_act(out_channels // 2, out_channels, 3, norm_cfg, act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(N, k*C, H, W) to (N, C, H, W)."""
        return self.raise_(self.cut(x))
