"""From the features of two dates to their fusion and difference."""
from .bitemporal_fusion_neck import BitemporalFusionNeck
from .difference_block import DepthwiseDifferenceBlock, DifferenceBlock, FullDifferenceBlock

__all__ = ['BitemporalFusionNeck', 'DepthwiseDifferenceBlock', 'DifferenceBlock', 'FullDifferenceBlock']
