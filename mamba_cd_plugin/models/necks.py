"""The neck: fuses the features of the two dates, and computes their difference."""
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import build_part, conv_norm_act
from mamba_cd_plugin.models.structures import BitemporalFeatures, FusedPyramid, LevelFeatures


@MODELS.register_module()
class DifferenceBlock(BaseModule):
    """D = f([A; B]) + |A - B|; this base is the ablation without f, D = |A - B|.

    Args:
        channels: C.
        norm_cfg: norm inside f.
        act_cfg: activation inside f.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.learnt = self._make_learnt(channels, norm_cfg, act_cfg)

    def _make_learnt(self, channels: int, norm_cfg: dict, act_cfg: dict) -> nn.Module:
        return None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, C, H, W) to their difference (N, C, H, W)."""
        distance = (a - b).abs()
        return distance if self.learnt is None else self.learnt(torch.cat([a, b], dim=1)) + distance


@MODELS.register_module()
class DepthwiseDifferenceBlock(DifferenceBlock):
    """f = depthwise 3x3 on 2C, norm, activation, 1x1 2C to C (V1 to V5, V6.2)."""

    def _make_learnt(self, channels: int, norm_cfg: dict, act_cfg: dict) -> nn.Module:
        return nn.Sequential(
            conv_norm_act(2 * channels, 2 * channels, 3, norm_cfg, act_cfg, groups=2 * channels),
            nn.Conv2d(2 * channels, channels, 1))


@MODELS.register_module()
class FullDifferenceBlock(DifferenceBlock):
    """f = full 3x3 2C to C, norm, activation (from V6 on).

    Diary: 这一个改动参数量大很多 ("this change adds many parameters").
    """

    def _make_learnt(self, channels: int, norm_cfg: dict, act_cfg: dict) -> nn.Module:
        return conv_norm_act(2 * channels, channels, 3, norm_cfg, act_cfg)


@MODELS.register_module()
class BitemporalFusionNeck(BaseModule):
    """Difference D_i = DDB(A_i, B_i) and fusion AB_i = reduce([A_i; B_i]) of every level.

    ::

        A_i --+--> DDB -----> D_i   --.
              |                       |--> LevelFeatures(A_i, B_i, D_i, AB_i)
        B_i --+--> reduction -> AB_i --'

    Args:
        in_channels: C_i of the encoder's levels, stride 4 first.
        difference: config of the difference block; None where no part reads D_i (the trunk alone).
        norm_cfg: norm of all convolutions.
        act_cfg: activation of all convolutions.
        reduction: config of the channel reduction that gives AB_i; None leaves it out (V8 fuses in the decoder).
        init_cfg: mmengine's init config.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 difference: dict | None,
                 norm_cfg: dict,
                 act_cfg: dict,
                 reduction: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        style = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.in_channels = tuple(in_channels)
        self.differences = None if difference is None else ModuleList(
            [build_part(difference, channels=c, **style) for c in in_channels])
        self.reductions = None if reduction is None else ModuleList(
            [build_part(reduction, in_channels=2 * c, out_channels=c, **style) for c in in_channels])

    def forward(self, features: BitemporalFeatures) -> FusedPyramid:
        """Fuse all levels.

        Raises:
            ValueError: if the encoder's channels are not those this neck was built for.
        """
        found = tuple(f.size(1) for f in features.a)
        if found != self.in_channels:
            raise ValueError(f'BitemporalFusionNeck: the encoder gives {found} channels, but the neck was built with '
                             f'in_channels={self.in_channels}; set neck.in_channels and decode_head.in_channels to the '
                             "encoder's")
        levels = []
        for i, (a, b) in enumerate(zip(features.a, features.b)):
            fused = None if self.reductions is None else self.reductions[i](torch.cat([a, b], dim=1))
            difference = None if self.differences is None else self.differences[i](a, b)
            levels.append(LevelFeatures(a, b, difference, fused))
        return FusedPyramid(tuple(levels), features.image_a, features.image_b, features.size)
