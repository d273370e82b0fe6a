"""The model's parts; importing this package registers them in mmseg's MODELS."""
from .. import stack  # noqa: F401  before all that imports mmseg
from .backbones import SiameseVSSM
from .baseline_backbones import SiameseHybrid, SiameseResNet
from .data_preprocessor import PairDataPreProcessor
from .decode_heads import AERNetHead, ChangeHead, ChangeMambaHead, EdgeGuidedHead
from .losses import BinaryDiceLoss, BinaryFocalLoss, LovaszSoftmaxLoss, SWBCELoss
from .necks import BitemporalFusionNeck
from .peers import open_cd_model
from .tta import ChangeTTAModel

__all__ = [
    'AERNetHead', 'BinaryDiceLoss', 'BinaryFocalLoss', 'BitemporalFusionNeck', 'ChangeHead', 'ChangeMambaHead',
    'ChangeTTAModel', 'EdgeGuidedHead', 'LovaszSoftmaxLoss', 'PairDataPreProcessor', 'SWBCELoss', 'SiameseHybrid',
    'SiameseResNet', 'SiameseVSSM', 'open_cd_model'
]
