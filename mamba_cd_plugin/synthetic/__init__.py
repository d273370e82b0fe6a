"""Generated bitemporal scenes: aerial images of towns in which buildings appear and vanish, with labels.

    seed -> plan of both dates (districts, streets, growth) -> two drawings (rendering) -> light and sensor -> pair
"""
from .scene import ScenePair, generate_pair
from .writer import write_dataset

__all__ = ['ScenePair', 'generate_pair', 'write_dataset']
