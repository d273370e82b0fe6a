"""The VSS block, the residual unit of encoder and decoder."""
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .norm import LN2d
from .pointwise import PointwiseLinear
from .ss2d import SS2D


@MODELS.register_module()
class VSSBlock(BaseModule):
    """Visual state-space block: x + SS2D(LN(x)), then x + MLP(LN(x)).

    Its norms are LN in every version: they belong to the state-space model, which the diary's change to BN (V6) leaves
    out.

    Its linear layers start as torch's do, with a std of 1 / sqrt(3 C). VMamba's std of 0.02 is that of its deepest
    level, C = 768; at the widths of a small model it switches the block nearly off.

    Source: VMamba, arXiv 2401.10166.

    Args:
        channels: C.
        d_state: states per channel of the scan.
        ssm_ratio: inner channels of SS2D / C.
        mlp_ratio: hidden channels of the MLP / C.
        drop_path: probability that a residual is dropped for a sample while training.
        scan_backend: backend of the selective scan.
    """

    def __init__(self,
                 channels: int,
                 d_state: int = 1,
                 ssm_ratio: float = 1.0,
                 mlp_ratio: float = 4.0,
                 drop_path: float = 0.,
                 scan_backend: str = 'auto') -> None:
        super().__init__()
        hidden = int(channels * mlp_ratio)
        self.norm1 = LN2d(channels)
        self.ss2d = SS2D(channels, d_state, ssm_ratio, scan_backend)
        self.norm2 = LN2d(channels)
        self.mlp = nn.Sequential(
            PointwiseLinear(channels, hidden), nn.GELU(), PointwiseLinear(hidden, channels))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W), channels-last in memory."""
        x = x + self.drop_path(self.ss2d(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
