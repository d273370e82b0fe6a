"""The decoder: trunk, edge branch and their fusion, level by level."""
from . import edges, skips
from .aff import AttentionalFeatureFusion, DifferenceChain, ThreeWayAFF
from .blocks import LSSM, VSSStack
from .edge_guided_head import EdgeGuidedHead
from .outputs import FinalUpsampler, LevelOutput

__all__ = [
    'AttentionalFeatureFusion', 'DifferenceChain', 'EdgeGuidedHead', 'FinalUpsampler', 'LSSM', 'LevelOutput',
    'ThreeWayAFF', 'VSSStack', 'edges', 'skips'
]
