"""The decode head of CDMamba."""
from collections.abc import Sequence
from typing import Any, cast

import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, SampleList, add_prefix
from torch import Tensor, nn

from mamba_cd_plugin.models.decode_heads.change_head import ChangeHead, without_padding
from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.models.structures import FusedPyramid, LevelFeatures


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

    def __init__(self, channels: int, above_channels: int | None, skip: dict, block: dict, edge: dict | None,
                 fusion: dict | None, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        has_above = above_channels is not None
        style: dict[str, Any] = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        # Before the upsampling, with which a 1x1 convolution commutes: a quarter of the work.
        self.squeeze = nn.Conv2d(above_channels, channels, 1) if has_above else None
        self.skip = build_part(skip, channels=channels, has_above=has_above, block=block, **style)
        self.edge = None if edge is None else build_part(edge, channels=channels, **style)
        self.fusion = None if edge is None else build_part(fusion, channels=channels, norm_cfg=norm_cfg)

    def forward(self, level: LevelFeatures, above: Tensor | None, image_edge: Tensor | None) -> Tensor:
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


@MODELS.register_module()
class EdgeGuidedHead(ChangeHead):
    """Decoder whose trunk of state-space blocks is guided, level by level, by an edge branch.

    ::

        level 4 --> level 3 --> level 2 --> level 1 --> final head --> 1x1 --> logit (N, 1, H, W)
        each: trunk (skip strategy + block), edge branch, AFF; see DecoderLevel

    Everything it is made of is a registered part, so that a version is a config.

    Args:
        in_channels: C_i of the levels, stride 4 first.
        skip: config of the skip strategy, one per level is built.
        block: config of the trunk's block.
        edge: config of the edge branch, or None for the trunk alone.
        fusion: config of the AFF of trunk and branch.
        final: config of what follows level 1; None to classify at stride 4.
        loss_decode: dict of named loss configs, see :class:`ChangeHead`.
        norm_cfg: norm of all convolutions.
        act_cfg: activation of all convolutions.
        image_edge: config of the images' edge map, which the Laplacian branches read.
        chain: config of the AFF chain over the differences (V1, V2).
        level_output: config of an output with a loss of its own at every level; None for one output.
        **kwargs: see :class:`ChangeHead`.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 skip: dict,
                 block: dict,
                 edge: dict | None,
                 fusion: dict | None,
                 final: dict | None,
                 loss_decode: dict,
                 norm_cfg: dict,
                 act_cfg: dict,
                 image_edge: dict | None = None,
                 chain: dict | None = None,
                 level_output: dict | None = None,
                 **kwargs: Any) -> None:
        style: dict[str, Any] = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        final_part: Any = None if final is None else build_part(final, channels=in_channels[0], **style)
        super().__init__(
            in_channels,
            channels=in_channels[0] if final_part is None else cast(int, final_part.out_channels),
            loss_decode=loss_decode,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            **kwargs)
        above_channels = [*in_channels[1:], None]
        self.levels = ModuleList(
            [DecoderLevel(c, above, skip, block, edge, fusion, **style)
             for c, above in zip(in_channels, above_channels)])
        self.final = final_part
        self.image_edge = None if image_edge is None else build_part(image_edge)
        self.chain = None if chain is None else build_part(chain, in_channels=in_channels, norm_cfg=norm_cfg)
        self.level_outputs = None if level_output is None else ModuleList(
            [build_part(level_output, channels=c, **style) for c in in_channels])

    def decode(self, inputs: FusedPyramid) -> list[Tensor]:
        """The neck's pyramid to out_i of every level, (N, C_i, H_i, W_i), stride 4 first."""
        image_edge = None if self.image_edge is None else self.image_edge(inputs.image_a, inputs.image_b)
        outs: list[Tensor] = []
        for decoder, level in zip(reversed(self.levels), reversed(inputs.levels)):
            outs.insert(0, decoder(level, outs[0] if outs else None, image_edge))
        return outs

    def classify(self, out: Tensor, inputs: FusedPyramid) -> Tensor:
        """out_1 to one logit per pixel of the input, (N, 1, H, W)."""
        if self.chain is not None:
            out = self.chain(out, inputs.levels)
        logits = self.cls_seg(out if self.final is None else self.final(out))
        if self.final is None:
            logits = resize(logits, size=inputs.image_a.shape[2:], mode='bilinear', align_corners=self.align_corners)
        return without_padding(logits, inputs)

    def forward(self, inputs: FusedPyramid) -> Tensor:
        """The neck's pyramid to one logit per pixel; the outputs of the levels are not computed."""
        return self.classify(self.decode(inputs)[0], inputs)

    def all_logits(self, inputs: FusedPyramid) -> list[Tensor]:
        """The final logits and, under deep supervision, each level's (N, 1, H, W) after them, level 1 first."""
        outs = self.decode(inputs)
        size = inputs.image_a.shape[2:]
        return [self.classify(outs[0], inputs),
                *(without_padding(output(out, size), inputs) for output, out in zip(self.level_outputs or [], outs))]

    def loss(self, inputs: FusedPyramid, batch_data_samples: SampleList, train_cfg: ConfigType) -> dict[str, Tensor]:
        """Losses of the final output and, under deep supervision, of every level's."""
        final, *levels = self.all_logits(inputs)
        losses = self.loss_by_feat(final, batch_data_samples)
        for i, logits in enumerate(levels, 1):
            losses.update(add_prefix(self.loss_by_feat(logits, batch_data_samples), f'level{i}'))
        return losses
