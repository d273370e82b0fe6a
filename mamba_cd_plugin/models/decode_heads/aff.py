"""AFF, attentional feature fusion of trunk and branch."""
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import build_part, conv_norm_act
from mamba_cd_plugin.models.structures import LevelFeatures

Gate = Callable[[Tensor], tuple[Tensor, Tensor]]


def sigmoid_gate(z: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (w, 1 - w) of trunk and branch with w = sigmoid(z); the form of the AFF paper, V6."""
    w = z.sigmoid()
    return w, 1 - w


def tanh_gate(z: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (w, 2 - w) with w = tanh(z) + 1 (diary: 主干做+1，分支做2-, "+1 for the
    trunk, 2- for the branch"); V1 to V5 and from V6.1 on."""
    w = z.tanh() + 1
    return w, 2 - w


def gelu_gate(z: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (w, 1 - w) with w = gelu(z), which is not bounded; the diary's run 103257."""
    w = F.gelu(z)
    return w, 1 - w


GATES: dict[str, Gate] = dict(sigmoid=sigmoid_gate, tanh=tanh_gate, gelu=gelu_gate)

# The logit at which all inputs weigh the same, by their number, where it is not 0: gelu(z) = 1/2 and 1/3.
EVEN_LOGITS: dict[str, dict[int, float]] = dict(gelu={2: 0.6684, 3: 0.4855})


def even_logit(gate: str, num_inputs: int) -> float:
    """The attention logit at which every input has the same weight.

    Raises:
        ValueError: if there is no such gate.
    """
    if gate not in GATES:
        raise ValueError(f'attentional feature fusion: gate {gate!r} is unknown; there are {", ".join(GATES)}')
    return EVEN_LOGITS.get(gate, {}).get(num_inputs, 0.)


def three_way_weights(z: Tensor, gate: str) -> Tensor:
    """Weights of three inputs, each gate carried over so that two inputs with logits (z, 0) give the two-input form.

    - sigmoid: softmax(z), which sums to 1; sigmoid(z) is the softmax of (z, 0).
    - tanh: 3 softmax(2z), which sums to 3 as the two-input gate sums to 2; tanh(z) + 1 is 2 sigmoid(2z).
    - gelu: gelu(z_1), gelu(z_2) and what is left to 1.

    Args:
        z: attention logits (3, ...), one per input.
        gate: a key of ``GATES``.

    Returns:
        Weights of the shape of ``z``.
    """
    if gate == 'sigmoid':
        return z.softmax(dim=0)
    if gate == 'tanh':
        return 3 * (2 * z).softmax(dim=0)
    first_two = F.gelu(z[:2])
    return torch.cat([first_two, 1 - first_two.sum(dim=0, keepdim=True)])


class MSCAM(BaseModule):
    """Multi-scale channel attention: a 1x1 bottleneck on every pixel plus the same on the global average.

    The global half has LN where the local half has ``norm_cfg``: a BatchNorm of one value per channel and image is
    noise in a small batch, and with one image torch refuses to train it.

    Both halves start at zero (the scale of their last norm; Goyal et al. 2017, arXiv 1706.02677, section 5.1): with a
    scale of 1 every channel of every pixel would start with a weight drawn at random from nearly the whole range of
    the gate.

    Args:
        channels: C.
        ratio: the bottleneck has C / ratio channels.
        norm_cfg: norm of the local half.
        start: the logit everywhere before training.
    """

    def __init__(self, channels: int, ratio: int, norm_cfg: dict, start: float = 0.) -> None:
        super().__init__()
        self.start = start
        self.local_attention = self._bottleneck(channels, ratio, norm_cfg)
        self.global_attention = self._bottleneck(channels, ratio, dict(type='mmseg.LN2d'))

    @staticmethod
    def _bottleneck(channels: int, ratio: int, norm_cfg: dict) -> nn.Sequential:
        def conv(c_in: int, c_out: int, act_cfg: dict) -> ConvModule:
            return conv_norm_act(c_in, c_out, 1, norm_cfg, act_cfg)

        hidden = channels // ratio
        return nn.Sequential(conv(channels, hidden, dict(type='ReLU')), conv(hidden, channels, None))

    def init_weights(self) -> None:
        """mmengine's initialisation, then the even start."""
        super().init_weights()
        local: Any = self.local_attention[1]
        whole: Any = self.global_attention[1]
        nn.init.zeros_(local.norm.weight)
        nn.init.zeros_(whole.norm.weight)
        nn.init.constant_(local.norm.bias, self.start)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to attention logits (N, C, H, W)."""
        return self.local_attention(x) + self.global_attention(x.mean(dim=(2, 3), keepdim=True))


@MODELS.register_module()
class AttentionalFeatureFusion(BaseModule):
    """Weighted sum of trunk and branch, the weights from MS-CAM(trunk + branch).

    Source: Dai et al., WACV 2021, arXiv 2009.14082; the gates tanh and gelu are the diary's.

    Args:
        channels: C.
        gate: a key of ``GATES``.
        ratio: bottleneck ratio r of the MS-CAM.
        norm_cfg: norm inside the MS-CAM.

    Raises:
        ValueError: if the gate is unknown.
    """

    def __init__(self, channels: int, gate: str, norm_cfg: dict, ratio: int = 4) -> None:
        super().__init__()
        start = even_logit(gate, 2)
        self.gate = GATES[gate]
        self.attention = MSCAM(channels, ratio, norm_cfg, start)

    def forward(self, trunk: Tensor, branch: Tensor) -> Tensor:
        """Two (N, C, H, W) to one."""
        w_trunk, w_branch = self.gate(self.attention(trunk + branch))
        return w_trunk * trunk + w_branch * branch


@MODELS.register_module()
class ThreeWayAFF(BaseModule):
    """AFF of three inputs: one MS-CAM per input, all on the sum of the three.

    Diary: 能不能把AFF拓展到三个融合 ("can AFF be extended to fuse three?").

    Args:
        channels: C.
        gate: a key of ``GATES``; see :func:`three_way_weights`.
        norm_cfg: norm inside the MS-CAMs.
        ratio: bottleneck ratio r of the MS-CAMs.

    Raises:
        ValueError: if the gate is unknown.
    """

    def __init__(self, channels: int, gate: str, norm_cfg: dict, ratio: int = 4) -> None:
        super().__init__()
        start = even_logit(gate, 3)
        self.gate = gate
        self.attentions = ModuleList([MSCAM(channels, ratio, norm_cfg, start) for _ in range(3)])

    def forward(self, *features: Tensor) -> Tensor:
        """Three (N, C, H, W) to one."""
        stacked = torch.stack(features)
        total = stacked.sum(dim=0)
        z = torch.stack([attention(total) for attention in self.attentions])
        return (three_way_weights(z, self.gate) * stacked).sum(dim=0)


@MODELS.register_module()
class DifferenceChain(BaseModule):
    """One AFF chain fuses the four D deep to shallow and joins the decoder before the head.

    ::

        D_4 -> up -> AFF(., D_3) -> up -> AFF(., D_2) -> up -> AFF(., D_1) --.
        decoder's out_1 ----------------------------------------------------> AFF -> out

    Args:
        in_channels: C_i, stride 4 first.
        fusion: config of each AFF.
        norm_cfg: norm inside the AFFs.
    """

    def __init__(self, in_channels: Sequence[int], fusion: dict, norm_cfg: dict) -> None:
        super().__init__()
        pairs = list(zip(in_channels[1:], in_channels[:-1]))
        self.squeezes = ModuleList([nn.Conv2d(deep, shallow, 1) for deep, shallow in pairs])
        self.fusions = ModuleList([build_part(fusion, channels=shallow, norm_cfg=norm_cfg) for _, shallow in pairs])
        self.join = build_part(fusion, channels=in_channels[0], norm_cfg=norm_cfg)

    def forward(self, out: Tensor, levels: Sequence[LevelFeatures]) -> Tensor:
        """The decoder's out_1 (N, C_1, H, W) and all levels to a feature of out_1's shape."""
        x = levels[-1].d
        for i in reversed(range(len(self.fusions))):
            x = F.interpolate(self.squeezes[i](x), size=levels[i].d.shape[2:], mode='bilinear', align_corners=False)
            x = self.fusions[i](x, levels[i].d)
        return self.join(out, x)
