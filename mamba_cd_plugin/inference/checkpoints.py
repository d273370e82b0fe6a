"""From a checkpoint to a model: what is read from a file of unknown origin, and what is refused."""
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.runner.checkpoint import load_state_dict
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules import module as registration

from ..engine.checkpoint import load_safely
from ..engine.config_text import parse_config_text, untrusted_model_config
from ..engine.machine import check_device
from ..engine.weights import fit_weights, weights_of
from ..resources import find_config
from ..version import __version__
from .models import OnnxTileModel, TileModel, TorchTileModel

WEIGHT_SUFFIXES = ('.pth', '.pt', '.safetensors', '.onnx')
HASH_LENGTH = 8
# Key in the meta of published checkpoints only.
VERSION_KEY = 'mamba_cd_plugin_version'
_PUBLISHED = re.compile(rf'-([0-9a-f]{{{HASH_LENGTH}}})\.(?:pth|safetensors)$')
# How much larger than its checkpoint a model may be while it is built: a part may be made and replaced by another.
SPARE_FACTOR, SPARE_NUMBERS = 3, 1 << 16
MAX_PARTS = 50_000  # the largest model here has some 2,000 modules


def load_model(cfg: ConfigDict, weights: str | None, device: str = 'cpu') -> TileModel:
    """Build a model and load its weights.

    Args:
        cfg: The user's config; empty to take the one inside the checkpoint, which is read as data and never run.
        weights: A checkpoint or an exported .onnx.
        device: Where it runs.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the device is not there, or the file is refused, has no config, or its weights are not those of
            the model.
    """
    device = check_device(device)
    if weights is None:
        raise ValueError('no checkpoint was named; an untrained model predicts nothing useful')
    if str(weights).endswith('.onnx'):
        return OnnxTileModel(Path(weights), device)
    checkpoint = read_checkpoint(weights)
    if cfg:
        model_cfg, model = cfg.model, build_model(cfg.model, weights)
    else:
        model_cfg = untrusted_model_config(config_of(checkpoint, weights), f'checkpoint {weights}')
        model = build_model(model_cfg, weights, sum(value.numel() for value in _weights(checkpoint, weights).values()))
    load_weights(model, checkpoint, weights)
    return TorchTileModel(model.to(device), model_cfg, f'checkpoint {weights}')


def build_model(model_cfg: ConfigDict, path: str, numbers: int | None = None) -> nn.Module:
    """Build the model that belongs to a checkpoint.

    Args:
        model_cfg: Config of the model.
        path: Path of the checkpoint, for the error.
        numbers: Number of values that the checkpoint holds, if its config is of unknown origin: a model that needs
            more is refused before it takes the memory.

    Raises:
        ValueError: If this version of the package cannot build it.
    """
    try:
        with nullcontext() if numbers is None else no_more_than(numbers):
            return revert_sync_batchnorm(MODELS.build(model_cfg))
    except Exception as error:  # what a config of another version, or of somebody's make, brings upon torch
        raise ValueError(f'checkpoint {path}: version {__version__} of mamba_cd_plugin cannot build the model in its '
                         f'config: {error}. Name a config file of this version instead (--config)') from error


@contextmanager
def no_more_than(numbers: int) -> Iterator[None]:
    """Refuse to build a model with many more parameters and buffers than ``numbers``, or far more modules than any of
    ours. The error comes before torch touches their memory.

    Raises:
        ValueError: As soon as a model exceeds either.
    """
    left, parts = SPARE_FACTOR * numbers + SPARE_NUMBERS, MAX_PARTS

    def count(module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal left
        left -= tensor.numel() if tensor is not None else 0
        if left < 0:
            raise ValueError(f'it describes a model of more numbers than the {numbers:,} of the checkpoint')

    def count_part(module: nn.Module, name: str, part: nn.Module | None) -> None:
        nonlocal parts
        parts -= 1
        if parts < 0:
            raise ValueError(f'it describes a model of more than {MAX_PARTS:,} parts')

    hooks = [registration.register_module_parameter_registration_hook(count),
             registration.register_module_buffer_registration_hook(count),
             registration.register_module_module_registration_hook(count_part)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def load_weights(model: nn.Module, checkpoint: dict, path: str) -> None:
    """Load the weights of a checkpoint into a model, which must match exactly.

    Raises:
        ValueError: If a weight is missing, unexpected or of another shape.
    """
    weights = _weights(checkpoint, path)
    fit = fit_weights(model, weights)
    if not fit.complete:
        raise ValueError(f'checkpoint {path}: its weights are not those of the model in the config: '
                         f'{fit.difference()}')
    # The prefix is that of a model that was saved inside a DataParallel.
    state = {re.sub(r'^module\.', '', str(key)): value for key, value in weights.items()}
    try:
        load_state_dict(model, state, strict=True)
    except RuntimeError as error:
        raise ValueError(f'checkpoint {path}: its weights cannot be loaded: {error}') from error


def _weights(checkpoint: dict, path: str) -> Mapping[str, Tensor]:
    try:
        return weights_of(checkpoint)
    except ValueError as error:
        raise ValueError(f'checkpoint {path}: {error}') from error


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint as data only, and compare it with the hash in its name.

    Raises:
        ValueError: If the file is not the one that was published under this name, or holds no weights.
    """
    checkpoint = load_safely(str(path), map_location='cpu')
    if not isinstance(checkpoint, dict) or not checkpoint:
        raise ValueError(f'checkpoint {path}: holds no weights but a {type(checkpoint).__name__}')
    named = _PUBLISHED.search(Path(path).name)
    if named and VERSION_KEY in (checkpoint.get('meta') or {}) and file_hash(Path(path)) != named.group(1):
        raise ValueError(f'checkpoint {path}: its content has the hash {file_hash(Path(path))}, but its name says '
                         f'{named.group(1)}; it was altered since it was published. Download it again')
    return checkpoint


def file_hash(path: Path) -> str:
    """The first digits of the SHA-256 of a file, as they stand in the name of a published checkpoint."""
    return sha256(path.read_bytes()).hexdigest()[:HASH_LENGTH]


def config_of(checkpoint: dict, path: str) -> ConfigDict:
    """The config inside a checkpoint, read as data.

    Raises:
        ValueError: If there is none, or it is more than data.
    """
    text = (checkpoint.get('meta') or {}).get('cfg')
    if not isinstance(text, str):
        raise ValueError(f'checkpoint {path}: holds no config; name its config file as well (--config)')
    return parse_config_text(text, f'checkpoint {path}')


def read_named_config(path: str) -> Config:
    """A config that the user names, by its file or by its name alone; it is run.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    return Config.fromfile(find_config(path))
