"""Plain VSS blocks as the trunk's block."""
from mmengine.model import Sequential
from mmseg.registry import MODELS

from mamba_cd_plugin.models.layers import VSSBlock


@MODELS.register_module()
class VSSStack(Sequential):
    """``depth`` VSS blocks in a row (V1, V2: two per level, with which V1 has its 37 M parameters).

    Args:
        channels: C.
        norm_cfg: not used, blocks of the trunk are all built alike: a VSS block keeps its own LN.
        act_cfg: not used, likewise.
        depth: number of blocks.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict, depth: int = 2) -> None:
        super().__init__(*(VSSBlock(channels) for _ in range(depth)))
