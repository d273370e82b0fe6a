"""``none``: no skip, as the diary says of ConMamba."""
from typing import Any, Optional

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import conv_norm_act
from mamba_cd_plugin.models.structures import LevelFeatures

from .base import Skip


@MODELS.register_module()
class NoSkip(Skip):
    """F_i = up(out_{i+1}); A and B enter at the deepest level only, by a 1x1 convolution of both."""

    def __init__(self, channels: int, *, norm_cfg: dict, act_cfg: dict, **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        if not self.has_above:
            self.join = conv_norm_act(2 * channels, channels, 1, norm_cfg, act_cfg)

    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """F_i."""
        return self.join(torch.cat([level.a, level.b], dim=1)) if above is None else above
