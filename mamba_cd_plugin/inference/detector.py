"""Models for people with a training loop of their own: two images in, one logit per pixel out."""
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import Tensor, nn

from .. import register_all_modules
from ..engine.checkpoint import find_checkpoint
from ..engine.config_options import merge_options
from ..resources import find_config, list_configs
from ..stack import initialize_quietly
from .checkpoints import load_weights, read_checkpoint

# A model is called like its config for LEVIR-CD, without this.
_DATA = '_levircd'
# Above it an image of floating point numbers cannot be one of 0 to 1; augmentation may overshoot a little.
_HIGHEST = 1.5


class ChangeDetector(nn.Module):
    """A change detector as a plain torch module.

    ::

        A, B (N, 3, H, W) -> normalise -> SiameseVSSM -> BitemporalFusionNeck -> EdgeGuidedHead -> logits (N, 1, H, W)

    The losses of the configs are not part of it. Models with an output at every level (V3, V4, V7) give the final one.

    Args:
        segmentor: The model as mmseg builds it. Its ``state_dict`` is what a checkpoint for ``mamba-cd predict`` holds.
    """

    segmentor: Any  # mmseg's, which has no types

    def __init__(self, segmentor: nn.Module) -> None:
        super().__init__()
        self.segmentor = segmentor

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits of change.

        Args:
            a: The earlier RGB images (N, 3, H, W): uint8, or floating point from 0 to 1.
            b: The later ones.

        Returns:
            (N, 1, H, W); ``sigmoid`` gives probabilities.

        Raises:
            ValueError: If the images differ in shape, are not RGB, or their values are not those of an image.
        """
        if a.shape != b.shape or a.dim() != 4 or a.size(1) != 3:
            raise ValueError(f'expected two batches of RGB images of one shape (N, 3, H, W), got {tuple(a.shape)} and '
                             f'{tuple(b.shape)}')
        pair = torch.cat([_to_255(a), _to_255(b)], dim=1)
        normal = self.segmentor.data_preprocessor
        size = dict(img_shape=tuple(a.shape[2:]))
        return self.segmentor.encode_decode((pair - normal.mean) / normal.std, [size] * len(a))


def _to_255(images: Tensor) -> Tensor:
    """Images as the normalisation expects them, floating point from 0 to 255.

    Raises:
        ValueError: If they are neither uint8 nor floating point from 0 to 1.
    """
    if images.dtype == torch.uint8:
        return images.float()
    if not images.is_floating_point():
        raise ValueError(f'expected images of uint8 or floating point, got {images.dtype}')
    if not torch.compiler.is_compiling() and images.numel() and images.max() > _HIGHEST:
        raise ValueError(f'expected floating point images from 0 to 1, got values up to {images.max():g}; divide by '
                         '255, or give uint8')
    return images * 255


def list_models() -> list[str]:
    """The names that :func:`get_model` knows, such as ``cdmamba_v8``."""
    return sorted(path.stem[:-len(_DATA)] for name, path in list_configs().items()
                  if path.stem.endswith(_DATA) and not name.startswith('opencd/'))


def get_model(name: str | Path,
              embed_dims: int | None = None,
              weights: str | Path | None = None,
              options: dict[str, Any] | None = None) -> ChangeDetector:
    """Build a model by its name.

    Args:
        name: A name from :func:`list_models`, or a config, by its file or its name.
        embed_dims: Channels d of the first level, instead of the config's; the levels have d, 2d, 4d and 8d.
        weights: A checkpoint, or the name of weights that come with the package; random by default.
        options: Settings of the model to override, by dotted keys, such as ``{'backbone.drop_path_rate': 0.}``.

    Returns:
        A :class:`ChangeDetector` in training mode, on the CPU.

    Raises:
        FileNotFoundError: If there is no model, config or checkpoint of that name.
        KeyError: If an option names a key that the config does not have.
        ValueError: If the weights are refused, or are not those of the model.

    Examples:
        >>> model = get_model('cdmamba_v8', embed_dims=32)
        >>> logits = model(torch.rand(2, 3, 256, 256), torch.rand(2, 3, 256, 256))
    """
    register_all_modules(init_default_scope=False)
    cfg = Config.fromfile(find_config(_config_of(name)))
    changes = {f'model.{key}': value for key, value in (options or {}).items()}
    if embed_dims is not None:
        channels = [embed_dims * 2**i for i in range(len(cfg.model.neck.in_channels))]
        changes = {'model.backbone.embed_dims': embed_dims, 'model.neck.in_channels': channels,
                   'model.decode_head.in_channels': channels, **changes}
    merge_options(cfg, changes)
    segmentor = MODELS.build(dict(cfg.model, _scope_='mmseg'))
    if weights is None:
        initialize_quietly(segmentor)
    else:
        path = find_checkpoint(weights)
        load_weights(segmentor, read_checkpoint(path), path)
    return ChangeDetector(segmentor)


def _config_of(name: str | Path) -> str | Path:
    """The config of a model; a name that belongs to no model is taken for the name of a config."""
    configs = {path.stem: path for key, path in list_configs().items() if not key.startswith('opencd/')}
    return configs.get(f'{name}{_DATA}', name)
