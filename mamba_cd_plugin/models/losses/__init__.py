"""Losses for one logit per pixel, labels 0/1 and an ignore index."""
from .binary_focal_loss import BinaryFocalLoss, binary_focal_loss

__all__ = ['BinaryFocalLoss', 'binary_focal_loss']
