"""DDB, the difference block of the neck (diary: 编码层的差异提取模块, "module of the encoder for differences")."""
import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import conv_norm_act


@MODELS.register_module()
class DifferenceBlock(BaseModule):
    """D = f([A; B]) + |A - B|; this base is the ablation without f, D = |A - B|.

    Args:
        channels: C.
        norm_cfg: norm inside f.
        act_cfg: activation inside f.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.learnt = self._make_learnt(channels, norm_cfg, act_cfg)

    def _make_learnt(self, channels: int, norm_cfg: dict, act_cfg: dict) -> nn.Module:
        return None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, C, H, W) to their difference (N, C, H, W)."""
        distance = (a - b).abs()
        return distance if self.learnt is None else self.learnt(torch.cat([a, b], dim=1)) + distance


@MODELS.register_module()
class DepthwiseDifferenceBlock(DifferenceBlock):
    """f = depthwise 3x3 on 2C, norm, activation, 1x1 2C to C (V1 to V5, V6.2)."""

    def _make_learnt(self, channels: int, norm_cfg: dict, act_cfg: dict) -> nn.Module:
        return nn.Sequential(
            conv_norm_act(2 * channels, 2 * channels, 3, norm_cfg, act_cfg, groups=2 * channels),
            nn.Conv2d(2 * channels, channels, 1))


@MODELS.register_module()
class FullDifferenceBlock(DifferenceBlock):
    """f = full 3x3 2C to C, norm, activation (from V6 on).

    Diary: 这一个改动参数量大很多 ("this change adds many parameters").
    """

    def _make_learnt(self, channels: int, norm_cfg: dict, act_cfg: dict) -> nn.Module:
        return conv_norm_act(2 * channels, channels, 3, norm_cfg, act_cfg)
