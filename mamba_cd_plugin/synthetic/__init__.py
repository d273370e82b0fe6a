"""Generated bitemporal scenes: aerial images of towns in which buildings appear and vanish, with labels.

    seed -> plan of both dates (districts, streets, growth) -> two drawings (rendering) -> registration, camera -> pair
"""
from .scene import NUISANCES, ScenePair, Size, check_nuisances, check_size, generate_pair, warm_up
from .writer import write_dataset

__all__ = [
    'NUISANCES', 'ScenePair', 'Size', 'check_nuisances', 'check_size', 'generate_pair', 'warm_up', 'write_dataset'
]
