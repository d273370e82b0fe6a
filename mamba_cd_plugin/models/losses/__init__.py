"""Losses for one logit per pixel, labels 0/1 and an ignore index."""
from .binary_focal_loss import BinaryFocalLoss, binary_focal_loss
from .swbce_loss import SWBCELoss, swbce_loss, swbce_weights

__all__ = ['BinaryFocalLoss', 'SWBCELoss', 'binary_focal_loss', 'swbce_loss', 'swbce_weights']
