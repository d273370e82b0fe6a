"""The decode head of ChangeMamba's MambaBCD."""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.models.backbones.resnet import BasicBlock
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.decode_heads.change_head import ChangeHead, without_padding
from mamba_cd_plugin.models.decode_heads.skips import deinterleave_columns, interleave_columns, side_by_side
from mamba_cd_plugin.models.layers import VSSBlock, conv_norm_act
from mamba_cd_plugin.models.structures import FusedPyramid


class SpatioTemporalFusion(BaseModule):
    """A and B of one level, scanned together in three orders, to one feature of the decoder's width.

    ::

        [A; B] --------------> 1x1 -> VSS --------------.
        columns interleaved -> 1x1 -> VSS -> A's, B's --+--> 1x1, BN, ReLU
        side by side --------> 1x1 -> VSS -> A's, B's --'

    Unlike :class:`.TripleScanFusion`, the skip strategy after it, every order has a 1x1 convolution of its own, without
    norm and activation, and the level's channels are brought to one width before the scan.

    Args:
        in_channels: C_i.
        channels: width of the decoder.
        norm_cfg: norm after the last convolution.
        act_cfg: activation after it.
        vss: arguments of the three VSS blocks.
    """

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict, act_cfg: dict, vss: dict) -> None:
        super().__init__()

        def order(inputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inputs, channels, 1), VSSBlock(channels, **vss))

        self.stacked = order(2 * in_channels)
        self.interleaved, self.parallel = order(in_channels), order(in_channels)
        self.join = conv_norm_act(5 * channels, channels, 1, norm_cfg, act_cfg)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, C_i, H, W) to one (N, channels, H, W)."""
        interleaved = deinterleave_columns(self.interleaved(interleave_columns(a, b)))
        parallel = self.parallel(side_by_side(a, b)).chunk(2, dim=-1)
        return self.join(torch.cat([self.stacked(torch.cat([a, b], dim=1)), *interleaved, *parallel], dim=1))


@MODELS.register_module()
class ChangeMambaHead(ChangeHead):
    """Decoder of MambaBCD: at each level a spatio-temporal fusion, added to the level above and smoothed.

    ::

        A_4, B_4 -> fusion ---------------------------> out_4
        A_i, B_i -> fusion -> + up(out_{i+1}) -> residual block -> out_i
        out_1 -> 1x1 -> up to full size -> logit (N, 1, H, W)

    The published classifier has two logits per pixel, for unchanged and changed, and takes the larger one. Softmax
    and argmax depend on their difference alone, which is the one logit here: the same function.

    Source: ChangeMamba, TGRS 2024, arXiv 2404.03425, and its public code, whose numbers a test compares.

    Args:
        in_channels: C_i of the levels, stride 4 first.
        channels: width of the decoder at all levels.
        norm_cfg: norm of the convolutions.
        act_cfg: activation of the convolutions; the residual blocks always have ReLU.
        vss: arguments of the VSS blocks.
        **kwargs: see :class:`.ChangeHead`.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int,
                 norm_cfg: dict,
                 act_cfg: dict,
                 vss: dict | None = None,
                 **kwargs: Any) -> None:
        super().__init__(in_channels, channels=channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        self.fusions = ModuleList(
            [SpatioTemporalFusion(c, channels, norm_cfg, act_cfg, vss or {}) for c in in_channels])
        self.smoothers = ModuleList([BasicBlock(channels, channels, norm_cfg=norm_cfg) for _ in in_channels[1:]])

    def forward(self, inputs: FusedPyramid) -> Tensor:
        """The neck's pyramid to one logit per pixel, (N, 1, H, W)."""
        *shallow, deepest = (fusion(level.a, level.b) for fusion, level in zip(self.fusions, inputs.levels))
        out = deepest
        for fused, smooth in zip(reversed(shallow), reversed(self.smoothers)):
            out = smooth(fused + F.interpolate(out, size=fused.shape[2:], mode='bilinear', align_corners=False))
        logits = resize(self.cls_seg(out), size=inputs.image_a.shape[2:], mode='bilinear', align_corners=False)
        return without_padding(logits, inputs)
