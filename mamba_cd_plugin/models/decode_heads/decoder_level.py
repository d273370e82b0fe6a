"""One level of the decoder."""
from typing import Optional

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.models.structures import LevelFeatures


class DecoderLevel(BaseModule):
    """Trunk, edge branch, and the AFF that joins them.

    ::

        out_{i+1} --> up --> skip (A_i, B_i, AB_i) --+--> T_i ----------------.
                                                     '--> F_i --> edge (D_i) --> R_i --> AFF(T_i, R_i) = out_i

    Args:
        channels: C_i.
        above_channels: C_{i+1}; None at the deepest level.
        skip: config of the skip strategy.
        block: config of the trunk's block.
        edge: config of the edge branch; None for the trunk alone, out_i = T_i.
        fusion: config of the AFF; needed with an edge branch.
        norm_cfg: norm of all convolutions.
        act_cfg: activation of all convolutions.
    """

    def __init__(self, channels: int, above_channels: Optional[int], skip: dict, block: dict, edge: Optional[dict],
                 fusion: Optional[dict], norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        has_above = above_channels is not None
        style = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        # Before the upsampling, with which a 1x1 convolution commutes: a quarter of the work.
        self.squeeze = nn.Conv2d(above_channels, channels, 1) if has_above else None
        self.skip = build_part(skip, channels=channels, has_above=has_above, block=block, **style)
        self.edge = None if edge is None else build_part(edge, channels=channels, **style)
        self.fusion = None if edge is None else build_part(fusion, channels=channels, norm_cfg=norm_cfg)

    def forward(self, level: LevelFeatures, above: Optional[Tensor], image_edge: Optional[Tensor]) -> Tensor:
        """One level.

        Args:
            level: the level's features, (N, C_i, H, W).
            above: out_{i+1} (N, C_{i+1}, H/2, W/2); None at the deepest level.
            image_edge: the images' edge map at full size (N, 1, ., .), where the head has one.

        Returns:
            out_i (N, C_i, H, W).
        """
        if above is not None:
            above = F.interpolate(self.squeeze(above), size=level.a.shape[2:], mode='bilinear', align_corners=False)
        trunk, fused = self.skip(level, above)
        return trunk if self.edge is None else self.fusion(trunk, self.edge(fused, level, image_edge))
