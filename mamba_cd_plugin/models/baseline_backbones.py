"""The siamese encoders of AERNet and ConMamba."""
from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.models.backbones import ResNet
from mmseg.models.backbones.resnet import BasicBlock
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.backbones import SiameseVSSM, check_pretrained, pad_by_reflection, split_pair
from mamba_cd_plugin.models.layers import VSSBlock
from mamba_cd_plugin.models.structures import BitemporalFeatures


@MODELS.register_module()
class SiameseResNet(ResNet):
    """mmseg's ResNet with shared weights for the two dates, whose stem is a level too.

    ::

        (N, 6, H, W) -> A -> stem -> max pooling -> stage 1 -> stage 2 -> stage 3 -> stage 4
                             |                        |          |          |          |
        stride               2                        4          8          16         32
        channels             d                        d          2d         4d         8d

    The dates run one after the other, as in AERNet: in training each is normalised by its own statistics. Parameters
    have torchvision's names, so that its ImageNet checkpoints can be read.

    Args:
        depth: 18 or 34 for ResNets of basic blocks; 50 and more have four times the channels behind the stem.
        base_channels: d.
        zero_init_residual: whether each residual starts at 0; AERNet's do not.
        **kwargs: see mmseg's ResNet.
    """
    # What ImageNet checkpoints have and an encoder does not.
    UNREAD = ('fc.', )

    def __init__(self, depth: int = 34, base_channels: int = 64, zero_init_residual: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(depth, stem_channels=base_channels, base_channels=base_channels,
                         zero_init_residual=zero_init_residual, **kwargs)
        expansion = self.block.expansion
        self.out_channels = (base_channels, *(base_channels * expansion * 2**i for i in range(self.num_stages)))
        # Of the levels against the image, as our encoders have them; mmseg's were those of the stages.
        self.strides = tuple(2 * 2**i for i in range(1 + self.num_stages))

    def init_weights(self) -> None:
        """mmengine's initialisation; pretrained weights that do not fit raise, where it would only log them."""
        check_pretrained(self, "torchvision's ImageNet weights of the same depth are read as they are", self.UNREAD)
        super().init_weights()

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of single images: (M, 3, H, W), multiples of 32, to five tensors (M, C_i, H / s_i, W / s_i)."""
        x = self.relu(self.norm1(self.conv1(images.contiguous(memory_format=torch.channels_last))))
        features = [x]
        x = self.maxpool(x)
        for name in self.res_layers:
            x = getattr(self, name)(x)
            features.append(x)
        return tuple(features)

    def forward(self, inputs: Tensor, later: Tensor | None = None) -> BitemporalFeatures:
        """Encode a pair, given as by :class:`.SiameseVSSM`."""
        image_a, image_b = split_pair(self, inputs, later)
        height, width = image_a.shape[2:]
        image_a, image_b = (pad_by_reflection(image, self.strides[-1]) for image in (image_a, image_b))
        return BitemporalFeatures(self.encode(image_a), self.encode(image_b), image_a, image_b, size=(height, width))


class HybridBlock(BaseModule):
    """A convolutional block beside a state-space block, concatenated, 1x1 to C, plus the input.

    ::

        x --+--> residual block of two 3x3 --.
            '--> VSS block ------------------+--> cat --> 1x1 --> (+ x)

    Args:
        channels: C.
        norm_cfg: norm of the convolutional block; the state-space block keeps its LN.
        **vss: arguments of the VSS block.
    """

    def __init__(self, channels: int, norm_cfg: dict, **vss: Any) -> None:
        super().__init__()
        self.conv = BasicBlock(channels, channels, norm_cfg=norm_cfg)
        self.vss = VSSBlock(channels, **vss)
        self.join = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W), channels-last in memory."""
        return x + self.join(torch.cat([self.conv(x), self.vss(x)], dim=1))


@MODELS.register_module()
class SiameseHybrid(SiameseVSSM):
    """VMamba's pyramid whose blocks are each a convolutional and a state-space one, side by side.

    The encoder of ConMamba as we read it: public are the title, 'CNN and SSM High-Performance Hybrid Network', and the
    abstract, which wants local detail from the CNN and long-range dependencies from the SSM, both at several scales.
    How the two meet is not in what is public. Here they run in parallel at every level, so that neither waits for the
    other, as the local convolutions do in :class:`.LSSM`; stem, levels and downsampling are :class:`.SiameseVSSM`'s.

    Source: Dong et al., ConMamba, TGRS 2024, doi 10.1109/TGRS.2024.3495216; no code is public.

    Args:
        norm_cfg: norm of the convolutional blocks.
        **kwargs: see :class:`.SiameseVSSM`.
    """

    def __init__(self, norm_cfg: dict, **kwargs: Any) -> None:
        self.norm_cfg = norm_cfg
        super().__init__(**kwargs)

    def _make_block(self, channels: int, **vss: Any) -> nn.Module:
        return HybridBlock(channels, self.norm_cfg, **vss)
