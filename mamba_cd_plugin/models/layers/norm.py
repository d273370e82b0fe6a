"""Layer normalisation over the channels of an (N, C, H, W) feature."""
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class LN2d(nn.LayerNorm):
    """LayerNorm over C of an (N, C, H, W) tensor.

    On a channels-last tensor the two permutations are views, and nothing is copied. ``type='mmseg.LN2d'`` in a
    ``norm_cfg`` finds it from any scope.
    """
    _abbr_ = 'ln'

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
