"""Data that the parts of a model exchange: named tuples of tensors, which DDP, export and Open-CD can handle."""
from typing import NamedTuple

from torch import Tensor


class BitemporalFeatures(NamedTuple):
    """Output of the siamese encoder: the features of A and B at each level, and the two images.

    Attributes:
        a: features of the earlier image, level i of shape (N, C_i, H_i, W_i), strides 4, 8, 16, 32; a ResNet has
            one of stride 2 before them.
        b: features of the later image, the same shapes.
        image_a: the normalised earlier image (N, 3, H, W), multiples of 32; edge branches that look at pixels read it.
        image_b: the normalised later image (N, 3, H, W).
        size: height and width of the images as they came, before they were padded on the right and below.
    """
    a: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    image_a: Tensor
    image_b: Tensor
    size: tuple[int, int]


class LevelFeatures(NamedTuple):
    """One level after the neck, every tensor of shape (N, C_i, H_i, W_i).

    Attributes:
        a: feature of the earlier image.
        b: feature of the later image.
        d: their difference D_i, from the difference block; None where the neck has none (the trunk alone).
        ab: their fusion AB_i; None where the neck has no reduction (V8 fuses in the decoder instead).
    """
    a: Tensor
    b: Tensor
    d: Tensor | None = None
    ab: Tensor | None = None


class FusedPyramid(NamedTuple):
    """Output of the neck: the levels from stride 4 to stride 32, the two images and their size before padding (see
    :class:`BitemporalFeatures`)."""
    levels: tuple[LevelFeatures, ...]
    image_a: Tensor
    image_b: Tensor
    size: tuple[int, int]


class TrunkFeatures(NamedTuple):
    """Output of a skip strategy at one level, each of shape (N, C_i, H_i, W_i).

    Attributes:
        trunk: T_i, the state-space block's result; one input of the AFF.
        fused: F_i, what the edge branch reads.
    """
    trunk: Tensor
    fused: Tensor
