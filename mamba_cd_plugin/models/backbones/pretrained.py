"""Pretrained weights that do not fit stop the run; mmengine would only log them and train from random weights."""
from pathlib import Path
from typing import Dict, Optional

from mmengine.model import BaseModule, PretrainedInit
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

CONVERTER = 'python tools/model_converters/vmamba.py'
# More names than this do not help to see what kind of file it is.
MAX_NAMES = 8


def _read(path: str, prefix: Optional[str]) -> Dict[str, Tensor]:
    """The weights that mmengine's PretrainedInit would give to the module."""
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(
            f'the pretrained weights {path} do not exist. Download the official VMamba checkpoint (its README lists '
            f'them under "Classification on ImageNet-1K") and convert it: {CONVERTER} OFFICIAL.pth {path}')
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    weights = {key.removeprefix('module.'): value for key, value in checkpoint.get('state_dict', checkpoint).items()}
    if prefix is None:
        return weights
    prefix = prefix.rstrip('.') + '.'
    return {key[len(prefix):]: value for key, value in weights.items() if key.startswith(prefix)}


def _listed(names: list) -> str:
    more = f', and {len(names) - MAX_NAMES} more' if len(names) > MAX_NAMES else ''
    return ', '.join(names[:MAX_NAMES]) + more


def check_pretrained(module: BaseModule) -> None:
    """Check that each checkpoint of type ``Pretrained`` in ``init_cfg`` holds exactly this module's parameters.

    Args:
        module: a module before its ``init_weights``.

    Raises:
        FileNotFoundError: if a checkpoint does not exist.
        ValueError: if a parameter is missing, left over or of another shape, with its name.
    """
    cfgs = [module.init_cfg] if isinstance(module.init_cfg, dict) else module.init_cfg or []
    for cfg in cfgs:
        if cfg['type'] not in ('Pretrained', PretrainedInit):
            continue
        found, expected = _read(cfg['checkpoint'], cfg.get('prefix')), module.state_dict()
        if any('patch_embed.' in key for key in found):
            raise ValueError(f"{cfg['checkpoint']} has VMamba's own names; convert it first: "
                             f"{CONVERTER} {cfg['checkpoint']} CONVERTED.pth")
        reshaped = [f'{key} {tuple(found[key].shape)} instead of {tuple(value.shape)}'
                    for key, value in expected.items() if key in found and found[key].shape != value.shape]
        problems = dict(missing=[key for key in expected if key not in found],
                        unknown=[key for key in found if key not in expected],
                        reshaped=reshaped)
        if any(problems.values()):
            details = '; '.join(f'{kind}: {_listed(names)}' for kind, names in problems.items() if names)
            raise ValueError(f"the pretrained weights {cfg['checkpoint']} do not fit {type(module).__name__}: "
                             f'{details}. Choose the arch they were converted for (the converter names it), or the '
                             'prefix under which they lie')
