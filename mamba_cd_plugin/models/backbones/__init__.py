"""Encoders."""
from .siamese_vssm import SiameseVSSM

__all__ = ['SiameseVSSM']
