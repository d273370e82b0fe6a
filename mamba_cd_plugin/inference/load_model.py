"""From a checkpoint file to a model that is ready to predict."""
import hashlib
import re
from pathlib import Path
from typing import Optional

from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.runner.checkpoint import _load_checkpoint, _load_checkpoint_to_model
from mmseg.registry import MODELS
from torch import nn

from ..engine.config_text import parse_config_text, untrusted_model_config
from ..version import __version__
from .onnx_model import OnnxTileModel
from .tile_model import TileModel, TorchTileModel

WEIGHT_SUFFIXES = ('.pth', '.pt', '.onnx')
HASH_LENGTH = 8
# Key in the meta of published checkpoints only.
VERSION_KEY = 'mamba_cd_plugin_version'
_PUBLISHED = re.compile(rf'-([0-9a-f]{{{HASH_LENGTH}}})\.pth$')


def load_model(cfg: ConfigDict, weights: Optional[str], device: str = 'cpu') -> TileModel:
    """Build a model and load its weights.

    Args:
        cfg: The user's config; empty to take the one inside the checkpoint, which is read as data and never run.
        weights: A checkpoint or an exported .onnx.
        device: Where it runs.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is refused, has no config, or its weights are not those of the model.
    """
    if weights is None:
        raise ValueError('no checkpoint was named; an untrained model predicts nothing')
    if str(weights).endswith('.onnx'):
        return OnnxTileModel(Path(weights), device)
    checkpoint = read_checkpoint(weights)
    model_cfg = cfg.model if cfg else untrusted_model_config(config_of(checkpoint, weights), f'checkpoint {weights}')
    model = build_model(model_cfg, weights)
    load_weights(model, checkpoint, weights)
    return TorchTileModel(model.to(device), model_cfg)


def build_model(model_cfg: ConfigDict, path: str) -> nn.Module:
    """Build the model that belongs to a checkpoint.

    Raises:
        ValueError: If this version cannot.
    """
    try:
        return revert_sync_batchnorm(MODELS.build(model_cfg))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f'checkpoint {path}: version {__version__} of mamba_cd_plugin cannot build the model in its '
                         f'config: {error}. Name a config file of this version instead (--config)') from error


def load_weights(model: nn.Module, checkpoint: dict, path: str) -> None:
    """Put the weights of a checkpoint into a model, all of them.

    Raises:
        ValueError: If they are not just those of the model.
    """
    try:
        _load_checkpoint_to_model(model, checkpoint, strict=True)
    except RuntimeError as error:
        raise ValueError(f'checkpoint {path}: its weights are not those of the model in the config: {error}') from error


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint through mmengine's loader, which is ours, and compare it with the hash in its name.

    Raises:
        ValueError: If the file is not the one that was published under this name, or holds no weights.
    """
    checkpoint = _load_checkpoint(str(path), map_location='cpu')
    if not isinstance(checkpoint, dict) or not checkpoint:
        raise ValueError(f'checkpoint {path}: holds no weights but a {type(checkpoint).__name__}')
    named = _PUBLISHED.search(Path(path).name)
    if named and VERSION_KEY in (checkpoint.get('meta') or {}) and file_hash(Path(path)) != named.group(1):
        raise ValueError(f'checkpoint {path}: its content has the hash {file_hash(Path(path))}, but its name says '
                         f'{named.group(1)}; it was altered since it was published. Download it again')
    return checkpoint


def file_hash(path: Path) -> str:
    """The first digits of the SHA-256 of a file, as they stand in the name of a published checkpoint."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_LENGTH]


def config_of(checkpoint: dict, path: str) -> ConfigDict:
    """The config inside a checkpoint, read as data.

    Raises:
        ValueError: If there is none, or it is more than data.
    """
    text = (checkpoint.get('meta') or {}).get('cfg')
    if not isinstance(text, str):
        raise ValueError(f'checkpoint {path}: holds no config; name its config file as well (--config)')
    return parse_config_text(text, f'checkpoint {path}')


def read_config(path: str) -> Config:
    """A config file that the user names, which is run.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} does not exist')
    return Config.fromfile(path)
