"""``concat``: the skip of AERNet."""
from typing import Any, Optional

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import conv_norm_act
from mamba_cd_plugin.models.structures import LevelFeatures, TrunkFeatures

from .base import Skip


@MODELS.register_module()
class ConcatSkip(Skip):
    """F_i = 1x1([A_i; up(out_{i+1}); B_i]), norm, activation; T_i = block(F_i) + F_i, the second skip.

    Source: AERNet, TGRS 2023; diary: 单纯的cat然后归一激活, 融合之后跟解码层核心处理完后再一个跳接 ("simply cat, then
    norm and activation; after the core of the decoder layer another skip connection").
    """

    def __init__(self, channels: int, *, norm_cfg: dict, act_cfg: dict, **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        self.join = conv_norm_act((2 + self.has_above) * channels, channels, 1, norm_cfg, act_cfg)

    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """F_i."""
        features = [level.a, level.b] if above is None else [level.a, above, level.b]
        return self.join(torch.cat(features, dim=1))

    def forward(self, level: LevelFeatures, above: Optional[Tensor]) -> TrunkFeatures:
        """T_i with the second skip added."""
        trunk, fused = super().forward(level, above)
        return TrunkFeatures(trunk + fused, fused)
