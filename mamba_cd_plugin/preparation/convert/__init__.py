"""Conversion of the public data sets to tiles in the layout of LEVIR-CD."""
from .catalog import CATALOG, DatasetFacts, OfficialSplit
from .converter import Converter, SplitReport, format_reports
from .tiling import EDGES, Tiling, count_tiles, expected_counts, tile_origins

__all__ = [
    'CATALOG', 'EDGES', 'Converter', 'DatasetFacts', 'OfficialSplit', 'SplitReport', 'Tiling', 'count_tiles',
    'expected_counts', 'format_reports', 'tile_origins'
]
