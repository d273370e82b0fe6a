from .change_metric import ChangeMetric
from .confusion import binary_confusion, change_scores

__all__ = ['ChangeMetric', 'binary_confusion', 'change_scores']
