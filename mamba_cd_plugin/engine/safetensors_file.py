"""Published weights as .safetensors: tensors without pickle, and the metadata from which the model is built.

https://huggingface.co/docs/safetensors. What a .pth holds under ``meta`` is one JSON text in the file's metadata.
"""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

SUFFIX = '.safetensors'
# The only key of the metadata: safetensors writes several in random order, and one checkpoint has to give one file.
KEY = 'mamba_cd_plugin'
# What is taken from the metadata, and its type. Nothing else is: mmengine runs some texts of a checkpoint as Python.
META_TYPES = dict(cfg=str, metrics=dict, dataset_meta=dict, calibration=dict, mamba_cd_plugin_version=str)


def _library() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(f'{SUFFIX} files need the package safetensors: pip install safetensors') from error
    return safetensors


def read_safetensors(path: str | Path) -> dict:
    """Read a file of weights, on the CPU.

    Args:
        path: Path of any .safetensors file; only those of this package have ``meta``.

    Returns:
        ``state_dict``, and ``meta`` with the keys of :data:`META_TYPES` that the file has.

    Raises:
        ImportError: If the package safetensors is missing.
        ValueError: If the file is damaged or holds no weights, or what it says of them is not what we write.
    """
    library = _library()
    try:
        with library.safe_open(str(path), framework='pt') as file:
            # The file is mapped into memory: a copy stays what it is when the file is replaced.
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  it is no dict
            text = (file.metadata() or {}).get(KEY)
    # Besides its own error: a type that this torch lacks, and a shape that torch refuses.
    except (library.SafetensorError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f'checkpoint {path} was refused: {error}. Expected a complete {SUFFIX} file; it is truncated, '
                         'damaged or of another format. Download or publish it again') from error
    if not weights:
        raise ValueError(f'checkpoint {path}: holds no weights')
    return dict(state_dict=weights, meta={} if text is None else _parse_meta(text, path))


def _parse_meta(text: str, path: str | Path) -> dict:
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f'expected a JSON object, got {type(found).__name__}')
        meta = {key: found[key] for key in META_TYPES if key in found}
        for key, value in meta.items():
            if not isinstance(value, META_TYPES[key]):
                raise ValueError(f'expected {key} to be {META_TYPES[key].__name__}, got {type(value).__name__}')
    except (ValueError, RecursionError) as error:
        raise ValueError(f'checkpoint {path} was refused: its metadata {KEY!r} is not what `mamba-cd publish` writes: '
                         f'{error}. Publish it again') from error
    names = meta.get('dataset_meta', {})
    if isinstance(names.get('classes'), list):
        names['classes'] = tuple(names['classes'])
    return meta


def safetensors_bytes(weights: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The content of a file; the same weights and meta give the same bytes.

    Args:
        weights: Tensors by name.
        meta: Keys of :data:`META_TYPES`, JSON values.

    Raises:
        ImportError: If the package safetensors is missing.
        ValueError: If a key would not be read again.
    """
    unknown = sorted(set(meta) - set(META_TYPES))
    if unknown:
        raise ValueError(f'meta has the keys {", ".join(unknown)}; expected only {", ".join(META_TYPES)}')
    # It refuses tensors that share memory, such as views.
    own = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    return _library().torch.save(own, metadata={KEY: json.dumps(meta, sort_keys=True, ensure_ascii=False)})
