"""The blocks of the trunk."""
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleList, Sequential
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import VSSBlock, conv_norm_act


@MODELS.register_module()
class LSSM(BaseModule):
    """A VSS block beside local depthwise convolutions, concatenated, 1x1 to C, plus the input.

    ::

        x --+--> VSS block ------.
            +--> depthwise 5x5 --+--> cat --> 1x1 --> (+ x)
            '--> depthwise 7x7 --'

    Source: the LSS module of MambaAD, NeurIPS 2024, arXiv 2404.06564.

    Args:
        channels: C.
        norm_cfg: norm after each depthwise convolution.
        act_cfg: activation after each norm.
        kernel_sizes: kernel sizes of the local convolutions.
        vss: arguments of the VSS block.
    """

    def __init__(self,
                 channels: int,
                 norm_cfg: dict,
                 act_cfg: dict,
                 kernel_sizes: Sequence[int] = (5, 7),
                 vss: dict | None = None) -> None:
        super().__init__()
        self.vss = VSSBlock(channels, **(vss or {}))
        self.local_convs = ModuleList(
            [conv_norm_act(channels, channels, k, norm_cfg, act_cfg, groups=channels) for k in kernel_sizes])
        self.join = nn.Conv2d((1 + len(kernel_sizes)) * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        return x + self.join(torch.cat([self.vss(x), *(conv(x) for conv in self.local_convs)], dim=1))


@MODELS.register_module()
class VSSStack(Sequential):
    """``depth`` VSS blocks in a row (V1, V2: two per level, with which V1 has its 37 M parameters).

    Args:
        channels: C.
        norm_cfg: not used, blocks of the trunk are all built alike: a VSS block keeps its own LN.
        act_cfg: not used, likewise.
        depth: number of blocks.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict, depth: int = 2) -> None:
        super().__init__(*(VSSBlock(channels) for _ in range(depth)))
