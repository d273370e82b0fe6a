"""The skip strategies (跳接, "skip connection"): how A, B and the level above enter the trunk."""
from abc import ABCMeta, abstractmethod
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.models.decode_heads.aff import AttentionalFeatureFusion, ThreeWayAFF
from mamba_cd_plugin.models.layers import VSSBlock, build_part, conv_norm_act
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
    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """F_i (N, C, H, W) from the level and ``above`` = up(out_{i+1}) (N, C, H, W), None at the deepest level."""

    def forward(self, level: LevelFeatures, above: Tensor | None) -> TrunkFeatures:
        """Features of one level and of the level above to the trunk T_i and the fusion F_i for the edge branch."""
        fused = self.fuse(level, above)
        return TrunkFeatures(self.block(fused), fused)


@MODELS.register_module()
class TrunkSkip(Skip):
    """The trunk takes up(out_{i+1}) alone; AB enters the edge branch only, except at the deepest level.

    Diary: 主线，执行VSS. 当AFF为None时，就是解码层第一层，主线和分支都用ABfuse ("main line, runs VSS. If AFF is
    None, this is the first decoder layer, and main line and branch both use ABfuse"). Needs a neck with a reduction.
    """

    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """X_i, the trunk's input."""
        return level.ab if above is None else above

    def forward(self, level: LevelFeatures, above: Tensor | None) -> TrunkFeatures:
        """T_i = block(X_i), and AB_i for the branch."""
        return TrunkFeatures(self.block(self.fuse(level, above)), level.ab)


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

    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """AB_i concatenated with the level above, if there is one."""
        return level.ab if above is None else self.join(torch.cat([level.ab, above], dim=1))


@MODELS.register_module()
class NoSkip(Skip):
    """F_i = up(out_{i+1}); A and B enter at the deepest level only, by a 1x1 convolution of both."""

    def __init__(self, channels: int, *, norm_cfg: dict, act_cfg: dict, **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        if not self.has_above:
            self.join = conv_norm_act(2 * channels, channels, 1, norm_cfg, act_cfg)

    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """F_i."""
        return self.join(torch.cat([level.a, level.b], dim=1)) if above is None else above


@MODELS.register_module()
class ConcatSkip(Skip):
    """F_i = 1x1([A_i; up(out_{i+1}); B_i]), norm, activation; T_i = block(F_i) + F_i, the second skip.

    Source: AERNet, TGRS 2023; diary: 单纯的cat然后归一激活, 融合之后跟解码层核心处理完后再一个跳接 ("simply cat, then
    norm and activation; after the core of the decoder layer another skip connection").
    """

    def __init__(self, channels: int, *, norm_cfg: dict, act_cfg: dict, **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        self.join = conv_norm_act((2 + self.has_above) * channels, channels, 1, norm_cfg, act_cfg)

    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """F_i."""
        features = [level.a, level.b] if above is None else [level.a, above, level.b]
        return self.join(torch.cat(features, dim=1))

    def forward(self, level: LevelFeatures, above: Tensor | None) -> TrunkFeatures:
        """T_i with the second skip added."""
        trunk, fused = super().forward(level, above)
        return TrunkFeatures(trunk + fused, fused)


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

    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """F_i."""
        return self.fusion(level.a, level.b) if above is None else self.fusion(level.a, level.b, above)


class ThreeWayFusion(BaseModule):
    """A, B and the level above, reduced to C and smoothed by ``convsmall``.

    A separate module, because DoG reads its output (diary: 融合模块单独拿出来写，因为融合完要给DoG提边缘, "write the
    fusion module separately, since DoG extracts the edges after the fusion"). At the deepest level two inputs are
    fused; ``convsmall`` follows in every case (融合完都经过一个convsmall, "after the fusion all pass a convsmall").

    Args:
        channels: C.
        num_inputs: number of fused features of C channels, 2 or 3.
        reduction: config of the channel reduction to C.
        kernel_size: kernel size of ``convsmall``.
        norm_cfg: norm of all convolutions.
        act_cfg: activation of all convolutions.
    """

    def __init__(self, channels: int, num_inputs: int, reduction: dict, kernel_size: int, norm_cfg: dict,
                 act_cfg: dict) -> None:
        super().__init__()
        style: dict = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.reduce = build_part(reduction, in_channels=num_inputs * channels, out_channels=channels, **style)
        self.convsmall = conv_norm_act(channels, channels, kernel_size, **style)

    def forward(self, *features: Tensor) -> Tensor:
        """Features of shape (N, C, H, W) to one of that shape."""
        return self.convsmall(self.reduce(torch.cat(features, dim=1)))


@MODELS.register_module()
class FuseThenVSS(Skip):
    """V8: A, B and the level above are fused first, and the block runs on the fusion.

    ::

        A_i, B_i, up(out_{i+1}) --> reduction --> convsmall --> F_i --> block --> T_i

    Args:
        reduction: config of the channel reduction from 3C (or 2C) to C.
        kernel_size: kernel size of ``convsmall``.
        **kwargs: see :class:`Skip`.
    """

    def __init__(self, channels: int, *, reduction: dict, norm_cfg: dict, act_cfg: dict, kernel_size: int = 3,
                 **kwargs: Any) -> None:
        super().__init__(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        self.fusion = ThreeWayFusion(channels, 2 + self.has_above, reduction, kernel_size, norm_cfg, act_cfg)

    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """F_i."""
        return self.fusion(level.a, level.b) if above is None else self.fusion(level.a, level.b, above)


@MODELS.register_module()
class VSSThenFuse(FuseThenVSS):
    """The counter-proposal to V8: the block runs on the level above, and its result is fused with A and B.

    ::

        up(out_{i+1}) --> block --.
        A_i, B_i -----------------+--> reduction --> convsmall --> F_i = T_i

    At the deepest level nothing comes from above, and the block runs on the fusion of A and B.
    """

    def forward(self, level: LevelFeatures, above: Tensor | None) -> TrunkFeatures:
        """The fusion is both the trunk and what the edge branch reads, below the deepest level."""
        if above is None:
            return super().forward(level, above)
        fused = self.fuse(level, self.block(above))
        return TrunkFeatures(fused, fused)


def interleave_columns(a: Tensor, b: Tensor) -> Tensor:
    """Two (N, C, H, W) to (N, C, H, 2W) with the columns a0, b0, a1, b1, ..."""
    return torch.stack([a, b], dim=-1).flatten(3)


def deinterleave_columns(x: Tensor) -> tuple[Tensor, Tensor]:
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

    def fuse(self, level: LevelFeatures, above: Tensor | None) -> Tensor:
        """F_i."""
        fused = self.fusion(level.a, level.b)
        return fused if above is None else fused + above
