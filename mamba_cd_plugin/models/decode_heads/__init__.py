"""The decoder: trunk, edge branch and their fusion, level by level."""
from .aff import AttentionalFeatureFusion
from .dog_edge import DoGEdge
from .edge_guided_head import EdgeGuidedHead
from .final_head import FinalUpsampler
from .lssm import LSSM
from .skips import FuseThenVSS

__all__ = ['AttentionalFeatureFusion', 'DoGEdge', 'EdgeGuidedHead', 'FinalUpsampler', 'FuseThenVSS', 'LSSM']
