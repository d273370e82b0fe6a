"""Conversion of the public data sets to tiles in the layout of LEVIR-CD."""
from .catalog import CATALOG, OWN_DATA, DatasetFacts, OfficialSplit, split_folders
from .converter import Converter, SplitReport, format_reports
from .sources import own_facts
from .tiling import EDGES, Tiling, count_tiles, expected_counts, tile_origins

__all__ = [
    'CATALOG', 'EDGES', 'OWN_DATA', 'Converter', 'DatasetFacts', 'OfficialSplit', 'SplitReport', 'Tiling',
    'count_tiles', 'expected_counts', 'format_reports', 'own_facts', 'split_folders', 'tile_origins'
]
