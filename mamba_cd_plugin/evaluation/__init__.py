from .change_metric import ChangeMetric
from .confusion import binary_confusion, change_scores
from .objects import ObjectCounts, add_objects, count_objects

__all__ = ['ChangeMetric', 'ObjectCounts', 'add_objects', 'binary_confusion', 'change_scores', 'count_objects']
