"""``trunk``: V3 to V7."""
from typing import Optional

from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.structures import LevelFeatures, TrunkFeatures

from .base import Skip


@MODELS.register_module()
class TrunkSkip(Skip):
    """The trunk takes up(out_{i+1}) alone; AB enters the edge branch only, except at the deepest level.

    Diary: 主线，执行VSS. 当AFF为None时，就是解码层第一层，主线和分支都用ABfuse ("main line, runs VSS. If AFF is
    None, this is the first decoder layer, and main line and branch both use ABfuse"). Needs a neck with a reduction.
    """

    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """X_i, the trunk's input."""
        return level.ab if above is None else above

    def forward(self, level: LevelFeatures, above: Optional[Tensor]) -> TrunkFeatures:
        """T_i = block(X_i), and AB_i for the branch."""
        return TrunkFeatures(self.block(self.fuse(level, above)), level.ab)
