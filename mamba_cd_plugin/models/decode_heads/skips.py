"""Skip strategies: how A, B and the level above enter the trunk (spec: 跳接)."""
from typing import Optional

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import build_part, conv_norm_act
from mamba_cd_plugin.models.structures import LevelFeatures, TrunkFeatures


@MODELS.register_module()
class FuseThenVSS(BaseModule):
    """V8: A, B and the level above are fused first, and the block runs on the fusion.

    ::

        A_i, B_i, up(out_{i+1}) --> reduction --> convsmall --> F_i --> block --> T_i

    At the deepest level there is no level above and two inputs are fused; after ``convsmall`` no case is distinguished any
    more (diary: 融合完都经过一个convsmall，不再区分有没有AFFout).

    Args:
        channels: C_i.
        has_above: whether a level above exists.
        block: config of the trunk's block.
        norm_cfg: norm of all convolutions.
        act_cfg: activation of all convolutions.
        reduction: config of the channel reduction from 3C (or 2C) to C.
        kernel_size: of ``convsmall``.
    """

    def __init__(self,
                 channels: int,
                 has_above: bool,
                 block: dict,
                 norm_cfg: dict,
                 act_cfg: dict,
                 reduction: dict,
                 kernel_size: int = 3) -> None:
        super().__init__()
        style = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.fuse = build_part(reduction, in_channels=(2 + has_above) * channels, out_channels=channels, **style)
        self.convsmall = conv_norm_act(channels, channels, kernel_size, **style)
        self.block = build_part(block, channels=channels, **style)

    def forward(self, level: LevelFeatures, above: Optional[Tensor]) -> TrunkFeatures:
        """One level and ``above`` = up(out_{i+1}) (N, C, H, W), None at the deepest, to trunk and fusion."""
        inputs = [level.a, level.b] if above is None else [level.a, level.b, above]
        fused = self.convsmall(self.fuse(torch.cat(inputs, dim=1)))
        return TrunkFeatures(self.block(fused), fused)
