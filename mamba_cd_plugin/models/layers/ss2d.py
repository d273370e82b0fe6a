"""SS2D, the two-dimensional selective scan of VMamba."""
import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mamba_cd_plugin.ops import cross_selective_scan, resolve_backend

from .norm import LN2d
from .pointwise import PointwiseLinear, pointwise

NUM_DIRECTIONS = 4  # rows, columns, and both backwards

# The step sizes at the start are log-uniform in this range (Mamba, arXiv 2312.00752, section 3.6), in pixels.
DT_MIN, DT_MAX = 1e-3, 1e-1


class SS2D(BaseModule):
    """Linear in, depthwise 3x3, SiLU, selective scan in four directions, sum, LN, linear out (VMamba v05_noz).

    ::

        x (N, C, H, W) -> in_proj -> conv2d -> SiLU -> u --------------------.
                                                       '-> x_proj -> dt, B, C -> scan x 4 -> out_norm -> out_proj

    The tensors stay channels-last in memory throughout, and their permutations are views: ``x_proj`` is pointwise, so
    that it may run before the pixels are put in scan order, and the scan itself walks the feature in place
    (``mamba_cd_plugin.ops.cross_selective_scan``).

    Source: VMamba, arXiv 2401.10166. Parameters have its names, so that official weights can be read.

    Args:
        channels: C.
        d_state: states S per channel.
        ssm_ratio: inner channels / C.
        scan_backend: a backend of ``mamba_cd_plugin.ops.selective_scan``; one that is not there raises here.
    """

    def __init__(self, channels: int, d_state: int = 1, ssm_ratio: float = 1.0, scan_backend: str = 'auto') -> None:
        super().__init__()
        self.scan_backend = resolve_backend(scan_backend)
        self.d_state = d_state
        self.dt_rank = math.ceil(channels / 16)
        inner = int(ssm_ratio * channels)
        self.in_proj = PointwiseLinear(channels, inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.x_proj_weight = nn.Parameter(torch.empty(NUM_DIRECTIONS, self.dt_rank + 2 * d_state, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(NUM_DIRECTIONS, inner, self.dt_rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(NUM_DIRECTIONS, inner))
        self.A_logs = nn.Parameter(torch.empty(NUM_DIRECTIONS * inner, d_state))
        self.Ds = nn.Parameter(torch.empty(NUM_DIRECTIONS * inner))
        self.out_norm = LN2d(inner)
        self.out_proj = PointwiseLinear(inner, channels, bias=False)
        self.reset_ssm_parameters()

    @torch.no_grad()
    def reset_ssm_parameters(self) -> None:
        """Start as in Mamba: A = -(1..S), D = 1, steps log-uniform between DT_MIN and DT_MAX."""
        for weight in self.x_proj_weight:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # what nn.Linear does
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_projs_weight, -bound, bound)
        step = torch.empty_like(self.dt_projs_bias).uniform_(math.log(DT_MIN), math.log(DT_MAX)).exp()
        self.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
        self.A_logs.copy_(torch.arange(1., self.d_state + 1).log().expand_as(self.A_logs))
        nn.init.ones_(self.Ds)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W), channels-last in memory."""
        u = F.silu(self.conv2d(self.in_proj(x)))
        proj = pointwise(u, self.x_proj_weight.flatten(0, 1))
        y = cross_selective_scan(
            u.permute(0, 2, 3, 1),
            proj.permute(0, 2, 3, 1).unflatten(-1, (NUM_DIRECTIONS, -1)),
            self.dt_projs_weight,
            self.dt_projs_bias,
            -self.A_logs.float().exp().unflatten(0, (NUM_DIRECTIONS, -1)),
            self.Ds.unflatten(0, (NUM_DIRECTIONS, -1)),
            backend=self.scan_backend)
        return self.out_proj(self.out_norm(y.permute(0, 3, 1, 2)))
