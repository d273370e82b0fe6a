"""Image pairs on their way to the model: the data set, its loading checks and the augmentation of pairs."""
from .data_root import CDTestLoop, CDTrainLoop, CDValLoop, DataRootLoopMixin, with_data_root
from .pair_dataset import PairCDDataset
from .transforms import LoadChangeLabel, LoadImagePair, PairPhotoMetricDistortion, RandomChangeCrop, RandomSwapDates

__all__ = [
    'CDTestLoop', 'CDTrainLoop', 'CDValLoop', 'DataRootLoopMixin', 'LoadChangeLabel', 'LoadImagePair', 'PairCDDataset',
    'PairPhotoMetricDistortion', 'RandomChangeCrop', 'RandomSwapDates', 'with_data_root'
]
