"""Building blocks that encoder, neck and head share: convolutions, norms, channel reductions, and the VSS block."""
import math
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.ops import cross_selective_scan, resolve_backend


def build_part(cfg: dict, **defaults: Any) -> nn.Module:
    """Build a part from its config in mmseg's scope.

    Our parts nest (a head has a skip, which has a block). Under Open-CD the default scope is ``opencd``, where an
    unprefixed nested ``type`` would not be found; so that only the three outermost types need the prefix ``mmseg.``
    there, everything inside them is looked up in mmseg's scope.

    Args:
        cfg: the part's config with its ``type``.
        **defaults: arguments of the part that its config does not give itself, such as its number of channels.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg, default_args=defaults)


@MODELS.register_module()
class LN2d(nn.LayerNorm):
    """LayerNorm over C of an (N, C, H, W) tensor.

    On a channels-last tensor the two permutations are views, and nothing is copied. ``type='mmseg.LN2d'`` in a
    ``norm_cfg`` finds it from any scope.
    """
    _abbr_ = 'ln'

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def conv_norm_act(in_channels: int,
                  out_channels: int,
                  kernel_size: int,
                  norm_cfg: dict | None,
                  act_cfg: dict | None,
                  groups: int = 1) -> ConvModule:
    """Convolution (stride 1, same size), norm, activation.

    A bias is dropped only where a BatchNorm follows and would cancel it (diary, V5: 卷积的偏置只有结合BN时才False, "the
    bias of a convolution is False only together with BN").

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd kernel size.
        norm_cfg: mmcv's norm config, or None.
        act_cfg: mmcv's activation config, or None.
        groups: groups of the convolution; ``in_channels`` makes it depthwise.
    """
    batch_norm_follows = norm_cfg is not None and 'BN' in norm_cfg['type']
    return ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        groups=groups,
        bias=not batch_norm_follows,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
        # LN2d's output is a view; written in place, autograd would copy it four times on the way back (V3: 14 % of a
        # training step). BatchNorm's is not.
        inplace=batch_norm_follows)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``weight @ x + bias`` at every pixel: (N, C, H, W), channels-last in memory, to (N, C', H, W) likewise.

    On a CPU it is computed as a 1x1 convolution: on channels-last tensors the two are the same product, and oneDNN
    generates code for it that was measured at 1.4 to 2.7 times the speed of the matrix library behind ``F.linear``
    (fp32, one core of an AMD EPYC with AVX-512, the shapes of a d = 24 encoder).

    Args:
        x: features.
        weight: (C', C), as nn.Linear has it.
        bias: (C', ).
    """
    if x.device.type == 'cpu':
        return F.conv2d(x, weight[:, :, None, None], bias)
    return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


class PointwiseLinear(nn.Linear):
    """nn.Linear over the channels of (N, C, H, W), with nn.Linear's parameters, so that VMamba's weights fit."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features, H, W) to (N, out_features, H, W), channels-last in memory."""
        return pointwise(x, self.weight, self.bias)


@MODELS.register_module()
class DirectReduction(BaseModule):
    """Two 3x3 convolutions, straight to C (V1, V2).

    Args:
        in_channels: k * C.
        out_channels: C.
        norm_cfg: norm after each convolution.
        act_cfg: activation after each norm.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.reduce = conv_norm_act(in_channels, out_channels, 3, norm_cfg, act_cfg)
        self.refine = conv_norm_act(out_channels, out_channels, 3, norm_cfg, act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(N, k*C, H, W) to (N, C, H, W)."""
        return self.refine(self.reduce(x))


@MODELS.register_module()
class BottleneckReduction(BaseModule):
    """First down to C/2, then up to C (from V3 on; diary: 先降四倍，再提两倍, "first down by four, then up by two").

    The diary does not name the kernels: a 1x1 mixes the k inputs where channels are many, and a 3x3 works where they
    are few, as in a ResNet bottleneck. Three inputs (3C) are cut to the same C/2.

    Args:
        in_channels: k * C.
        out_channels: C, even.
        norm_cfg: norm after each convolution.
        act_cfg: activation after each norm.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.cut = conv_norm_act(in_channels, out_channels // 2, 1, norm_cfg, act_cfg)
        self.raise_ = conv_norm_act(out_channels // 2, out_channels, 3, norm_cfg, act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(N, k*C, H, W) to (N, C, H, W)."""
        return self.raise_(self.cut(x))


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
