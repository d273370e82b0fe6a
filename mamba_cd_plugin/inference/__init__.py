"""What scripts and notebooks use: a checkpoint and two images in, a change map out; or a model to train."""
from .. import stack  # noqa: F401  before all that imports mmseg
from .detector import ChangeDetector, get_model, list_models
from .inferencer import ChangeDetectionInferencer

__all__ = ['ChangeDetectionInferencer', 'ChangeDetector', 'get_model', 'list_models']
