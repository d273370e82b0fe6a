"""The edge branch of V3 to V7."""
from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import VSSBlock, build_part
from mamba_cd_plugin.models.structures import LevelFeatures
from mamba_cd_plugin.ops.edge_kernels import gaussian_kernel, laplacian_kernel


class LaplacianMap(BaseModule):
    """Gaussian smoothing, then a convolution that starts as the Laplacian, squeezed to one channel.

    Args:
        channels: C.
        gaussian_bias: whether the smoothing has a bias (V3 to V5; diary, V6: 高斯卷积不需要偏置项, "the Gaussian
            convolution needs no bias"). It stays at 0: the weights of the Laplacian sum to 0, so its gradient is
            exactly 0 at the start, and it could only add a constant, as the Laplacian's own bias does. It is kept,
            frozen, because the weights of those versions contain it.
        kernel_size: of the Gaussian, in pixels.
        sigma: of the Gaussian, in pixels; 1 px, which a 5x5 window holds to 98.8 % on each axis.
    """

    def __init__(self, channels: int, gaussian_bias: bool, kernel_size: int = 5, sigma: float = 1.0) -> None:
        super().__init__()
        self.gaussian = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, padding_mode='replicate', groups=channels,
            bias=gaussian_bias)
        self.laplacian = nn.Conv2d(channels, 1, 3, padding=1, padding_mode='replicate')
        with torch.no_grad():
            self.gaussian.weight.copy_(gaussian_kernel(kernel_size, sigma).expand_as(self.gaussian.weight))
            # The mean over the channels, so that the map's size does not grow with C.
            self.laplacian.weight.copy_(laplacian_kernel().expand_as(self.laplacian.weight) / channels)
            self.laplacian.bias.zero_()
            if gaussian_bias:
                self.gaussian.bias.zero_()
                self.gaussian.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 1, H, W)."""
        return self.laplacian(self.gaussian(x))


@MODELS.register_module()
class LaplacianEdge(BaseModule):
    """R = reduce([VSS(AB) * e; D]) with e = Laplacian(AB) + the image's edge map, two Laplacians in one channel.

    The one-channel map is broadcast to the feature: same values and gradients as the diary's ``repeat`` without C
    copies of the map (用repeat把lap 复制到AB_VSS的大小, "copy the Laplacian to the size of AB_VSS by repeat").

    Args:
        channels: C.
        norm_cfg: norm of the reduction.
        act_cfg: activation of the reduction.
        reduction: config of the channel reduction from 2C to C.
        gaussian_bias: see :class:`LaplacianMap`.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict, reduction: dict,
                 gaussian_bias: bool = False) -> None:
        super().__init__()
        self.vss = VSSBlock(channels)
        self.edge_map = LaplacianMap(channels, gaussian_bias)
        self.reduce = build_part(
            reduction, in_channels=2 * channels, out_channels=channels, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def forward(self, fused: Tensor, level: LevelFeatures, image_edge: Optional[Tensor]) -> Tensor:
        """AB_i, the level's features (N, C, h, w) and the image's edge map (N, 1, H, W) to R_i (N, C, h, w)."""
        image_edge = F.interpolate(image_edge, size=fused.shape[2:], mode='bilinear', align_corners=False)
        edge = self.edge_map(fused) + image_edge
        return self.reduce(torch.cat([self.vss(fused) * edge, level.d], dim=1))
