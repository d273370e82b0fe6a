"""The decoders: CDMamba's trunk, edge branch and their fusion, level by level; and those it is compared with."""
from . import edges, skips
from .aernet_head import AERNetHead
from .aff import AttentionalFeatureFusion, DifferenceChain, ThreeWayAFF
from .blocks import LSSM, VSSStack
from .change_head import ChangeHead
from .change_mamba_head import ChangeMambaHead
from .edge_guided_head import EdgeGuidedHead
from .outputs import FinalUpsampler, LevelOutput

__all__ = [
    'AERNetHead', 'AttentionalFeatureFusion', 'ChangeHead', 'ChangeMambaHead', 'DifferenceChain', 'EdgeGuidedHead',
    'FinalUpsampler', 'LSSM', 'LevelOutput', 'ThreeWayAFF', 'VSSStack', 'edges', 'skips'
]
