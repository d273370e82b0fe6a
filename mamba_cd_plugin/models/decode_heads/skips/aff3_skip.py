"""``aff3``: AFF of three inputs (diary: 能不能把AFF拓展到三个融合, "can AFF be extended to fuse three?")."""
from typing import Any, Optional

from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.decode_heads.aff import AttentionalFeatureFusion, ThreeWayAFF
from mamba_cd_plugin.models.structures import LevelFeatures

from .base import Skip


@MODELS.register_module()
class AFF3Skip(Skip):
    """F_i = AFF(A_i, B_i, up(out_{i+1})) with three inputs, AFF(A_i, B_i) at the deepest level.

    Args:
        gate: gate of the AFF.
        **kwargs: see :class:`Skip`.
    """

    def __init__(self, channels: int, *, norm_cfg: dict, gate: str = 'tanh', **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, **kwargs)
        self.fusion = (ThreeWayAFF if self.has_above else AttentionalFeatureFusion)(channels, gate, norm_cfg)

    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """F_i."""
        return self.fusion(level.a, level.b) if above is None else self.fusion(level.a, level.b, above)
