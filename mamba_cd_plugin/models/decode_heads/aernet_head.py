"""The decode head of AERNet: global context, attention decoding blocks, deep supervision and edge refinement."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, SampleList, add_prefix
from torch import Tensor, nn

from mamba_cd_plugin.models.decode_heads.change_head import ChangeHead, without_padding
from mamba_cd_plugin.models.layers import build_part, conv_norm_act
from mamba_cd_plugin.models.structures import FusedPyramid

RELU, RELU6, HSWISH = dict(type='ReLU'), dict(type='ReLU6'), dict(type='HSwish')
# Row and column, in a 3x3 kernel, of the eight neighbours of a pixel: clockwise from the left one.
NEIGHBOURS = ((1, 0), (0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0))


class GlobalContext(BaseModule):
    """Self-attention between cells of ``pool`` x ``pool`` pixels, added to every pixel of the cell.

    On tiles of 256 px the deepest level has 8 x 8 pixels, a single cell of the published size: its attention is 1,
    and what is added is a linear map of the mean. Only larger images have something to attend to.

    Args:
        channels: C.
        pool: side of a cell; the cells at the right and at the bottom may be smaller.
    """

    def __init__(self, channels: int, pool: int = 8) -> None:
        super().__init__()
        self.pool = pool
        self.query, self.key = nn.Conv2d(channels, channels // 8, 1), nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        cells = F.avg_pool2d(x, self.pool, ceil_mode=True, count_include_pad=False)
        query, key, value = (part(cells).flatten(2) for part in (self.query, self.key, self.value))
        attention = (query.transpose(1, 2) @ key * query.size(1)**-0.5).softmax(dim=-1)  # (N, query, key)
        context = (value @ attention.transpose(1, 2)).view_as(cells)
        context = F.interpolate(context, scale_factor=float(self.pool), mode='nearest')
        return x + context[..., :x.size(2), :x.size(3)]


def separable_conv(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Sequential:
    """Depthwise 3x3, 1x1, norm, ReLU6: (N, in_channels, H, W) to (N, out_channels, H, W)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels),
        conv_norm_act(in_channels, out_channels, 1, norm_cfg, RELU6))


class CoordinateAttention(BaseModule):
    """Weights every channel by its row and by its column, each seen through the mean along the other axis.

    Source: Hou et al., CVPR 2021, arXiv 2103.02907.

    Args:
        channels: C.
        norm_cfg: norm of the bottleneck.
        reduction: C / channels of the bottleneck, which has at least 8.
    """

    def __init__(self, channels: int, norm_cfg: dict, reduction: int = 32) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.bottleneck = conv_norm_act(channels, hidden, 1, norm_cfg, HSWISH)
        self.rows, self.columns = nn.Conv2d(hidden, channels, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        means = torch.cat([x.mean(dim=3, keepdim=True), x.mean(dim=2, keepdim=True).transpose(2, 3)], dim=2)
        rows, columns = self.bottleneck(means).split([x.size(2), x.size(3)], dim=2)
        return x * self.rows(rows).sigmoid() * self.columns(columns.transpose(2, 3)).sigmoid()


class AttentionDecodingBlock(BaseModule):
    """One level: A, B and the level above concatenated, then coordinate attention between two separable convolutions.

    ::

        [A_i; above; B_i] -> 1x1 --+--> separable -> coordinate attention -> separable --(+)--> out_i
                                   '-----------------------------------------------------'

    The two convolutions are what makes the attention 'enhanced'. The second skip, past them, is the one that the diary
    names (see :class:`.ConcatSkip`).

    Args:
        in_channels: of A, B and the level above together.
        channels: of the output.
        norm_cfg: norm of the convolutions.
    """

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.join = conv_norm_act(in_channels, channels, 1, norm_cfg, RELU)
        self.attend = nn.Sequential(
            separable_conv(channels, channels, norm_cfg), CoordinateAttention(channels, norm_cfg),
            separable_conv(channels, channels, norm_cfg))

    def forward(self, a: Tensor, above: Tensor, b: Tensor) -> Tensor:
        """Three features of one size to (N, channels, H, W)."""
        x = self.join(torch.cat([a, above, b], dim=1))
        return x + self.attend(x)


class EdgeRefinement(BaseModule):
    """Replaces the logits of edge pixels by a mean of their neighbours', weighted by a predicted direction.

    The eight kernels that pick the neighbours can be learnt. In the public code a later initialisation overwrites them
    with noise; here they start as what they are made for.

    Args:
        channels: of the feature that tells the direction.
        norm_cfg: norm of the convolution.
    """

    def __init__(self, channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.direction = nn.Sequential(
            conv_norm_act(channels, channels, 1, norm_cfg, RELU), nn.Conv2d(channels, len(NEIGHBOURS), 1))
        kernels = torch.zeros(len(NEIGHBOURS), 1, 3, 3)
        for kernel, (row, column) in zip(kernels, NEIGHBOURS):
            kernel[0, row, column] = 1
        self.kernels = nn.Parameter(kernels)

    def forward(self, x: Tensor, logits: Tensor, edge: Tensor) -> Tensor:
        """Feature (N, C, H, W), logits and edge logits (N, 1, H, W) to refined logits (N, 1, H, W)."""
        weights = self.direction(x).softmax(dim=1)
        moved = (weights * F.conv2d(logits, self.kernels, padding=1)).sum(dim=1, keepdim=True)
        return torch.where(edge > 0, moved, logits)


def edges_of(labels: Tensor, ignore_index: int) -> Tensor:
    """The pixels of a label at which its class changes, on both sides: 1 there, 0 elsewhere.

    Args:
        labels: (N, H, W) of 0, 1 and ``ignore_index``.
        ignore_index: label of pixels that count nothing; so do their neighbours here.
    """
    def spread(mask: Tensor) -> Tensor:
        return F.max_pool2d(mask.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0

    edges = (spread(labels == 1) & spread(labels == 0)).long()
    return edges.masked_fill(spread(labels == ignore_index), ignore_index)


@MODELS.register_module()
class AERNetHead(ChangeHead):
    """AERNet's decoder, from stride 32 to full size.

    ::

        [A_5; B_5] -> global context -> 1x1, separable -> up
                                                           v
        A_i, B_i  --------------------> attention decoding block -> up -> ... -> x at full size    i = 4, 3, 2, 1
                                                  '-> logit of the level
        x -----------------------------> edge logit ------------------------.
        [x; logit of level 1] ---------> logit -> edge refinement (x, edge) -+-> refined logit

    The refined logit and those of the four levels have a loss each: the five stacked SWBCE of the diary. The public
    code does not return the edge logit, so that nothing can teach it where edges are; ``loss_edge`` gives it the edges
    of the label, as we read 'enhance the capacity to sense and refine the edges'.

    Source: Zhang et al., AERNet, TGRS 2023, and its public code, whose numbers a test compares.

    Args:
        in_channels: C_i of the levels, stride 2 first.
        norm_cfg: norm of the convolutions.
        pool: see :class:`GlobalContext`.
        loss_edge: config of the loss of the edge logit; None for none.
        **kwargs: see :class:`.ChangeHead`.
    """
    # torch.export takes the one cell of a small traced image for the number of cells of every image.
    exports_one_size_only = True

    def __init__(self, in_channels: Sequence[int], norm_cfg: dict, pool: int = 8, loss_edge: dict | None = None,
                 **kwargs: Any) -> None:
        width = in_channels[0] // 2
        super().__init__(in_channels, channels=width, norm_cfg=norm_cfg, act_cfg=RELU, **kwargs)
        *shallow, deepest = in_channels
        self.context = nn.Sequential(
            GlobalContext(2 * deepest, pool), conv_norm_act(2 * deepest, deepest, 1, norm_cfg, RELU),
            separable_conv(deepest, deepest, norm_cfg))
        widths = [width, *shallow[1:]]
        self.blocks = ModuleList(
            [AttentionDecodingBlock(2 * c + above, out, norm_cfg)
             for c, above, out in zip(shallow, in_channels[1:], widths)])
        self.level_outputs = ModuleList([nn.Conv2d(out, 1, 1) for out in widths])
        self.ups = ModuleList([nn.ConvTranspose2d(c, c, 2, stride=2) for c in (*widths, deepest)])
        self.edge = nn.Sequential(conv_norm_act(width, width, 3, norm_cfg, RELU), nn.Conv2d(width, 1, 1))
        self.final = conv_norm_act(width + 1, width, 3, norm_cfg, RELU)
        self.refine = EdgeRefinement(width, norm_cfg)
        self.loss_edge = None if loss_edge is None else build_part(loss_edge)

    def decode(self, inputs: FusedPyramid) -> tuple[list[Tensor], Tensor]:
        """The outputs of the levels, stride 2 first, and the feature at full size."""
        *shallow, deepest = inputs.levels
        x = self.context(torch.cat([deepest.a, deepest.b], dim=1))
        outs: list[Tensor] = []
        for level, block, up in zip(reversed(shallow), reversed(self.blocks), reversed(self.ups[1:])):
            x = block(level.a, up(x), level.b)
            outs.insert(0, x)
        return outs, self.ups[0](x)

    def classify(self, outs: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """The refined logit and the edge logit, (N, 1, H, W), of what ``decode`` gives."""
        first = F.interpolate(self.level_outputs[0](outs[0]), scale_factor=2., mode='bilinear', align_corners=True)
        edge = self.edge(x)
        return self.refine(x, self.cls_seg(self.final(torch.cat([x, first], dim=1))), edge), edge

    def forward(self, inputs: FusedPyramid) -> Tensor:
        """The neck's pyramid to one logit per pixel; only the first level's output is computed."""
        return without_padding(self.classify(*self.decode(inputs))[0], inputs)

    def training_logits(self, inputs: FusedPyramid) -> tuple[list[Tensor], Tensor]:
        """The refined logit and each level's after it, level 1 first, and the edge logit, all (N, 1, H, W)."""
        outs, x = self.decode(inputs)
        refined, edge = self.classify(outs, x)
        # Upsampled to the labels: at stride 16 a small building would have no pixel of its own in a reduced label.
        levels = [F.interpolate(output(out), size=x.shape[2:], mode='bilinear', align_corners=True)
                  for output, out in zip(self.level_outputs, outs)]
        return [without_padding(logits, inputs) for logits in (refined, *levels)], without_padding(edge, inputs)

    def all_logits(self, inputs: FusedPyramid) -> list[Tensor]:
        """The refined logits and each level's (N, 1, H, W) after them, level 1 first."""
        return self.training_logits(inputs)[0]

    def loss(self, inputs: FusedPyramid, batch_data_samples: SampleList, train_cfg: ConfigType) -> dict[str, Tensor]:
        """Losses of the refined output, of every level's, and of the edges."""
        (refined, *levels), edge = self.training_logits(inputs)
        losses = self.loss_by_feat(refined, batch_data_samples)
        for i, logits in enumerate(levels, 1):
            losses.update(add_prefix(self.loss_by_feat(logits, batch_data_samples), f'level{i}'))
        if self.loss_edge is not None:
            labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
            with torch.autocast(edge.device.type, enabled=False):
                losses[f'edge.{self.loss_edge.loss_name}'] = self.loss_edge(
                    edge.float(), edges_of(labels, self.ignore_index), ignore_index=self.ignore_index)
        return losses
