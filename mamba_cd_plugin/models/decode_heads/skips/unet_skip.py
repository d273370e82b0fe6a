"""The skip of V1 and V2."""
from typing import Any, Optional

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.models.structures import LevelFeatures

from .base import Skip


@MODELS.register_module()
class UNetSkip(Skip):
    """F_i = reduce([AB_i; up(out_{i+1})]), as in a UNet. Needs a neck with a reduction.

    Args:
        reduction: config of the channel reduction from 2C to C.
        **kwargs: see :class:`Skip`.
    """

    def __init__(self, channels: int, *, reduction: dict, norm_cfg: dict, act_cfg: dict, **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        if self.has_above:
            self.join = build_part(
                reduction, in_channels=2 * channels, out_channels=channels, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """AB_i concatenated with the level above, if there is one."""
        return level.ab if above is None else self.join(torch.cat([level.ab, above], dim=1))
