"""The skip strategies: how A, B and the level above enter the trunk."""
from .aff3_skip import AFF3Skip
from .base import Skip
from .concat_skip import ConcatSkip
from .no_skip import NoSkip
from .three_way import FuseThenVSS, VSSThenFuse
from .triple_vss import TripleVSS
from .trunk_skip import TrunkSkip
from .unet_skip import UNetSkip

__all__ = [
    'AFF3Skip', 'ConcatSkip', 'FuseThenVSS', 'NoSkip', 'Skip', 'TripleVSS', 'TrunkSkip', 'UNetSkip', 'VSSThenFuse'
]
