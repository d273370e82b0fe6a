"""Transforms for image pairs that mmcv and mmseg do not have; flips, rotation, padding and packing are theirs."""
from .change_crop import RandomChangeCrop
from .date_differences import RandomCamera, RandomMisregistration
from .loading import LoadChangeLabel, LoadImagePair
from .photometric import PairPhotoMetricDistortion
from .swap_dates import RandomSwapDates

__all__ = ['LoadChangeLabel', 'LoadImagePair', 'PairPhotoMetricDistortion', 'RandomCamera', 'RandomChangeCrop',
           'RandomMisregistration', 'RandomSwapDates']
