from .calibration import Calibration, best_threshold, calibrate, fit_temperature, logit_histogram
from .change_metric import ChangeMetric
from .confusion import binary_confusion, change_scores
from .objects import ObjectCounts, add_objects, count_objects

__all__ = [
    'Calibration', 'ChangeMetric', 'ObjectCounts', 'add_objects', 'best_threshold', 'binary_confusion', 'calibrate',
    'change_scores', 'count_objects', 'fit_temperature', 'logit_histogram'
]
