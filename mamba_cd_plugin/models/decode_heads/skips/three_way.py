"""``fuse_then_vss`` (V8), and its counter-proposal ``vss_then_fuse``."""
from typing import Any, Optional

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import build_part, conv_norm_act
from mamba_cd_plugin.models.structures import LevelFeatures, TrunkFeatures

from .base import Skip


class ThreeWayFusion(BaseModule):
    """A, B and the level above, reduced to C and smoothed by ``convsmall``.

    A separate module, because DoG reads its output (diary: 融合模块单独拿出来写，因为融合完要给DoG提边缘, "write the
    fusion module separately, since DoG extracts the edges after the fusion"). At the deepest level two inputs are
    fused; ``convsmall`` follows in every case (融合完都经过一个convsmall, "after the fusion all pass a convsmall").

    Args:
        channels: C.
        num_inputs: how many features of C channels are fused, 2 or 3.
        reduction: config of the channel reduction to C.
        kernel_size: of ``convsmall``.
        norm_cfg: norm of all convolutions.
        act_cfg: activation of all convolutions.
    """

    def __init__(self, channels: int, num_inputs: int, reduction: dict, kernel_size: int, norm_cfg: dict,
                 act_cfg: dict) -> None:
        super().__init__()
        style: dict = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.reduce = build_part(reduction, in_channels=num_inputs * channels, out_channels=channels, **style)
        self.convsmall = conv_norm_act(channels, channels, kernel_size, **style)

    def forward(self, *features: Tensor) -> Tensor:
        """Features of shape (N, C, H, W) to one of that shape."""
        return self.convsmall(self.reduce(torch.cat(features, dim=1)))


@MODELS.register_module()
class FuseThenVSS(Skip):
    """V8: A, B and the level above are fused first, and the block runs on the fusion.

    ::

        A_i, B_i, up(out_{i+1}) --> reduction --> convsmall --> F_i --> block --> T_i

    Args:
        reduction: config of the channel reduction from 3C (or 2C) to C.
        kernel_size: of ``convsmall``.
        **kwargs: see :class:`Skip`.
    """

    def __init__(self, channels: int, *, reduction: dict, norm_cfg: dict, act_cfg: dict, kernel_size: int = 3,
                 **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        self.fusion = ThreeWayFusion(channels, 2 + self.has_above, reduction, kernel_size, norm_cfg, act_cfg)

    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """F_i."""
        return self.fusion(level.a, level.b) if above is None else self.fusion(level.a, level.b, above)


@MODELS.register_module()
class VSSThenFuse(FuseThenVSS):
    """The counter-proposal to V8: the block runs on the level above, and its result is fused with A and B.

    ::

        up(out_{i+1}) --> block --.
        A_i, B_i -----------------+--> reduction --> convsmall --> F_i = T_i

    At the deepest level nothing comes from above, and the block runs on the fusion of A and B.
    """

    def forward(self, level: LevelFeatures, above: Optional[Tensor]) -> TrunkFeatures:
        """The fusion is both the trunk and what the edge branch reads, below the deepest level."""
        if above is None:
            return super().forward(level, above)
        fused = self.fuse(level, self.block(above))
        return TrunkFeatures(fused, fused)
