"""Image pairs on their way to the model: the data set, its loading checks and the augmentation of pairs."""
from .. import stack  # noqa: F401  before all that imports mmseg
from .change_balanced_sampler import ChangeBalancedSampler
from .data_root import with_data_root
from .pair_dataset import PairCDDataset
from .scene_dataset import FreshSceneSampler, SyntheticCDDataset
from .transforms import (
                         LoadChangeLabel,
                         LoadImagePair,
                         PairPhotoMetricDistortion,
                         RandomCamera,
                         RandomChangeCrop,
                         RandomMisregistration,
                         RandomSwapDates,
)

__all__ = [
    'ChangeBalancedSampler', 'FreshSceneSampler', 'LoadChangeLabel', 'LoadImagePair', 'PairCDDataset',
    'PairPhotoMetricDistortion', 'RandomCamera', 'RandomChangeCrop', 'RandomMisregistration', 'RandomSwapDates',
    'SyntheticCDDataset', 'with_data_root'
]
