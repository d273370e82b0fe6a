"""The decoder: trunk, edge branch and their fusion, level by level."""
from . import edges, skips
from .aff import AttentionalFeatureFusion, ThreeWayAFF
from .difference_chain import DifferenceChain
from .edge_guided_head import EdgeGuidedHead
from .final_head import FinalUpsampler
from .level_output import LevelOutput
from .lssm import LSSM
from .vss_stack import VSSStack

__all__ = [
    'AttentionalFeatureFusion', 'DifferenceChain', 'EdgeGuidedHead', 'FinalUpsampler', 'LSSM', 'LevelOutput',
    'ThreeWayAFF', 'VSSStack', 'edges', 'skips'
]
