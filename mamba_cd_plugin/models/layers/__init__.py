"""Building blocks that encoder, neck and head share."""
from .build import build_part
from .conv import conv_norm_act
from .norm import LN2d
from .reduction import BottleneckReduction, DirectReduction
from .ss2d import SS2D
from .vss_block import VSSBlock

__all__ = ['BottleneckReduction', 'DirectReduction', 'LN2d', 'SS2D', 'VSSBlock', 'build_part', 'conv_norm_act']
