"""The model's parts; importing this package registers them in mmseg's MODELS."""
from .backbones import SiameseVSSM
from .data_preprocessor import PairDataPreProcessor
from .decode_heads import ChangeHead, ChangeMambaHead, EdgeGuidedHead
from .losses import BinaryFocalLoss, LovaszSoftmaxLoss, SWBCELoss
from .necks import BitemporalFusionNeck
from .tta import ChangeTTAModel

__all__ = [
    'BinaryFocalLoss', 'BitemporalFusionNeck', 'ChangeHead', 'ChangeMambaHead', 'ChangeTTAModel', 'EdgeGuidedHead',
    'LovaszSoftmaxLoss', 'PairDataPreProcessor', 'SWBCELoss', 'SiameseVSSM'
]
