"""What scripts and notebooks use: a checkpoint and two images in, a change map out."""
from .inferencer import ChangeDetectionInferencer

__all__ = ['ChangeDetectionInferencer']
