"""The AFF chain over the differences, V1 and V2."""
from typing import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.models.structures import LevelFeatures


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
