"""The edge branch of V8: a difference of Gaussians on the fused feature."""
from typing import Optional

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.models.structures import LevelFeatures
from mamba_cd_plugin.ops.edge_kernels import dog_kernel


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

    def forward(self, fused: Tensor, level: LevelFeatures, image_edge: Optional[Tensor]) -> Tensor:
        """Fusion F_i and the level's features, each (N, C, H, W), to the branch R_i (N, C, H, W).

        ``image_edge`` is what the Laplacian branches read; this one sees features only.
        """
        sharpened = fused * (1 + self.dog(fused))
        return self.reduce(torch.cat([sharpened, level.d], dim=1))
