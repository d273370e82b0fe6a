"""Conversion of the public data sets to tiles in the layout of LEVIR-CD."""
from .catalog import CATALOG, DatasetFacts
from .holdout import Tiling, expected_counts
from .runner import Converter, SplitReport
from .tiling import count_tiles, tile_origins

__all__ = [
    'CATALOG', 'Converter', 'DatasetFacts', 'SplitReport', 'Tiling', 'count_tiles', 'expected_counts',
    'tile_origins'
]
