"""``triple_vss``: the three orders of ChangeMamba."""
from typing import Any, Optional, Tuple

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.layers import VSSBlock, conv_norm_act
from mamba_cd_plugin.models.structures import LevelFeatures

from .base import Skip


def interleave_columns(a: Tensor, b: Tensor) -> Tensor:
    """Two (N, C, H, W) to (N, C, H, 2W) with the columns a0, b0, a1, b1, ..."""
    return torch.stack([a, b], dim=-1).flatten(3)


def deinterleave_columns(x: Tensor) -> Tuple[Tensor, Tensor]:
    """The inverse of :func:`interleave_columns`."""
    return x[..., ::2], x[..., 1::2]


def side_by_side(a: Tensor, b: Tensor) -> Tensor:
    """Two (N, C, H, W) to (N, C, H, 2W), A left of B."""
    return torch.cat([a, b], dim=-1)


class TripleScanFusion(BaseModule):
    """A and B scanned together in three orders, joined to C.

    ::

        [A; B] -> 1x1 ------> VSS --------------.
        columns interleaved -> VSS -> A's, B's --+--> 1x1 5C to C
        side by side -------> VSS -> A's, B's --'

    Source: the spatio-temporal modelling of ChangeMamba, TGRS 2024, arXiv 2404.03425, section III-C.

    Args:
        channels: C.
        norm_cfg: norm of the convolutions.
        act_cfg: activation of the convolutions.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.squeeze = conv_norm_act(2 * channels, channels, 1, norm_cfg, act_cfg)
        self.stacked, self.interleaved, self.parallel = (VSSBlock(channels) for _ in range(3))
        self.join = conv_norm_act(5 * channels, channels, 1, norm_cfg, act_cfg)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, C, H, W) to one."""
        stacked = self.stacked(self.squeeze(torch.cat([a, b], dim=1)))
        interleaved = self.interleaved(interleave_columns(a, b))
        parallel = self.parallel(side_by_side(a, b))
        return self.join(torch.cat([stacked, *deinterleave_columns(interleaved), *parallel.chunk(2, dim=-1)], dim=1))


@MODELS.register_module()
class TripleVSS(Skip):
    """F_i = TripleScanFusion(A_i, B_i) + up(out_{i+1}), and the block on it in place of ChangeMamba's residual
    block."""

    def __init__(self, channels: int, *, norm_cfg: dict, act_cfg: dict, **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        self.fusion = TripleScanFusion(channels, norm_cfg, act_cfg)

    def fuse(self, level: LevelFeatures, above: Optional[Tensor]) -> Tensor:
        """F_i."""
        fused = self.fusion(level.a, level.b)
        return fused if above is None else fused + above
