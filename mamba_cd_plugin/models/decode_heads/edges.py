"""The edge branches of a decoder level, and the edge maps of the images."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import VSSBlock, build_part
from mamba_cd_plugin.models.structures import LevelFeatures
from mamba_cd_plugin.ops.edge_kernels import dog_kernel, gaussian_kernel, laplacian_kernel


class LaplacianMap(BaseModule):
    """Gaussian smoothing, then a convolution that starts as the Laplacian, squeezed to one channel.

    Args:
        channels: C.
        gaussian_bias: whether the smoothing has a bias (V3 to V5; diary, V6: 高斯卷积不需要偏置项, "the Gaussian
            convolution needs no bias"). It stays at 0: the weights of the Laplacian sum to 0, so its gradient is
            exactly 0 at the start, and it could only add a constant, as the Laplacian's own bias does. It is kept,
            frozen, because the weights of those versions contain it.
        kernel_size: size of the Gaussian's kernel, in pixels.
        sigma: standard deviation of the Gaussian, in pixels; a 5x5 window holds 98.8 % of 1 px on each axis.
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

    def forward(self, fused: Tensor, level: LevelFeatures, image_edge: Tensor | None) -> Tensor:
        """AB_i, the level's features (N, C, h, w) and the image's edge map (N, 1, H, W) to R_i (N, C, h, w)."""
        image_edge = F.interpolate(image_edge, size=fused.shape[2:], mode='bilinear', align_corners=False)
        edge = self.edge_map(fused) + image_edge
        return self.reduce(torch.cat([self.vss(fused) * edge, level.d], dim=1))


@MODELS.register_module()
class StackedImageEdge(BaseModule):
    """V3, V4: both images stacked to six channels and squeezed to one at once.

    Diary, V5: 直接把两张图片融合6通道直接压成1, 这样一下丢失太多信息了 ("the two images are fused to six channels and
    squeezed directly to one, which loses too much information at once").

    Args:
        gaussian_bias: see :class:`LaplacianMap`.
    """

    def __init__(self, gaussian_bias: bool = True) -> None:
        super().__init__()
        self.edge = LaplacianMap(6, gaussian_bias)

    def forward(self, image_a: Tensor, image_b: Tensor) -> Tensor:
        """Two (N, 3, H, W) to (N, 1, H, W)."""
        return self.edge(torch.cat([image_a, image_b], dim=1))


@MODELS.register_module()
class SiameseImageEdge(BaseModule):
    """V5 on: A and B each have their own Laplacian, and the two edge maps are joined by a 1x1 convolution.

    Args:
        gaussian_bias: see :class:`LaplacianMap`.
    """

    def __init__(self, gaussian_bias: bool = False) -> None:
        super().__init__()
        self.edge_a = LaplacianMap(3, gaussian_bias)
        self.edge_b = LaplacianMap(3, gaussian_bias)
        self.join = nn.Conv2d(2, 1, 1)

    def forward(self, image_a: Tensor, image_b: Tensor) -> Tensor:
        """Two (N, 3, H, W) to (N, 1, H, W)."""
        return self.join(torch.cat([self.edge_a(image_a), self.edge_b(image_b)], dim=1))


@MODELS.register_module()
class DoGEdge(BaseModule):
    """R = reduce([F * (1 + DoG(F)); D]), all channels kept.

    The difference of two convolutions is one convolution with the difference of the kernels, and so it is computed.
    The defaults put the wider Gaussian at 1.28 px, of which a 7x7 window holds 99.4 % on each axis.

    Args:
        channels: C.
        norm_cfg: norm of the reduction.
        act_cfg: activation of the reduction.
        reduction: config of the channel reduction from 2C to C.
        kernel_size: side of the kernel in pixels of the level.
        sigma: narrow standard deviation, in pixels of the level.
        ratio: wide / narrow (1.6: Marr and Hildreth 1980).
        learnable: whether training may change the kernels, which start as the analytic ones.
    """

    def __init__(self,
                 channels: int,
                 norm_cfg: dict,
                 act_cfg: dict,
                 reduction: dict,
                 kernel_size: int = 7,
                 sigma: float = 0.8,
                 ratio: float = 1.6,
                 learnable: bool = True) -> None:
        super().__init__()
        # No bias: the response to a flat feature must be zero (diary, V6: 高斯卷积不需要偏置项,
        # "the Gaussian convolution needs no bias").
        self.dog = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, padding_mode='replicate', groups=channels,
            bias=False)
        with torch.no_grad():
            self.dog.weight.copy_(dog_kernel(kernel_size, sigma, ratio).expand_as(self.dog.weight))
        self.dog.weight.requires_grad_(learnable)
        self.reduce = build_part(
            reduction, in_channels=2 * channels, out_channels=channels, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def forward(self, fused: Tensor, level: LevelFeatures, image_edge: Tensor | None) -> Tensor:
        """Fusion F_i and the level's features, each (N, C, H, W), to the branch R_i (N, C, H, W).

        ``image_edge`` is what the Laplacian branches read; this one sees features only.
        """
        sharpened = fused * (1 + self.dog(fused))
        return self.reduce(torch.cat([sharpened, level.d], dim=1))
