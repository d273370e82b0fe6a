"""Transforms for image pairs that mmcv and mmseg do not have; flips, rotation, padding and packing are theirs."""
from .change_crop import RandomChangeCrop
from .loading import LoadChangeLabel, LoadImagePair
from .photometric import PairPhotoMetricDistortion
from .swap_dates import RandomSwapDates

__all__ = ['LoadChangeLabel', 'LoadImagePair', 'PairPhotoMetricDistortion', 'RandomChangeCrop', 'RandomSwapDates']
