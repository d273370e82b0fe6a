"""Base class of the skip strategies (跳接, "skip connection": how A, B and the level above enter the trunk)."""
from abc import ABCMeta, abstractmethod
from typing import Optional

from mmengine.model import BaseModule
from torch import Tensor

from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.models.structures import LevelFeatures, TrunkFeatures


class Skip(BaseModule, metaclass=ABCMeta):
    """Base class of the skip strategies: fuse the inputs into F_i and apply the block, T_i = block(F_i).

    A strategy overrides :meth:`fuse`; one that runs the block elsewhere overrides :meth:`forward`.

    Args:
        channels: C_i.
        has_above: whether a level above exists; False at the deepest level.
        block: config of the trunk's block.
        norm_cfg: norm of all convolutions.
        act_cfg: activation of all convolutions.
    """

    def __init__(self, channels: int, has_above: bool, block: dict, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.has_above = has_above
        self.block = build_part(block, channels=channels, norm_cfg=norm_cfg, act_cfg=act_cfg)

    @abstractmethod
    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """F_i (N, C, H, W) from the level and ``above`` = up(out_{i+1}) (N, C, H, W), None at the deepest level."""

    def forward(self, level: LevelFeatures, above: Optional[Tensor]) -> TrunkFeatures:
        """Features of one level and of the level above to the trunk T_i and the fusion F_i for the edge branch."""
        fused = self.fuse(level, above)
        return TrunkFeatures(self.block(fused), fused)
