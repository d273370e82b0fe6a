"""Edge maps of the images themselves, computed once and resized to every level."""
import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .laplacian_edge import LaplacianMap


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
