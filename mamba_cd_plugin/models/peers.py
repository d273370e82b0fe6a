"""Models of Open-CD, https://github.com/likyoo/open-cd, for our runner: configs/peers.

Open-CD itself is imported when one of them is built.
"""
from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from mamba_cd_plugin.models.layers import build_part

TYPE = 'OpenCDModel'


class OpenCDUnavailable(EnvironmentError):
    """Open-CD cannot be imported here; the text says why in one line, and where it is said what to do."""


def import_open_cd() -> None:
    """Register Open-CD's models in its own registries, where they are found by the prefix ``opencd.``.

    Raises:
        OpenCDUnavailable: If it cannot be imported.
    """
    try:
        import opencd.models  # noqa: F401
    # Missing; versions that it refuses; a torchvision of another torch.
    except (ImportError, AssertionError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OpenCDUnavailable(f'this config needs Open-CD, which is not importable here: {reason}. docs/opencd.md '
                                'says how to install it, also for a CPU') from error


def needs_open_cd(cfg: Config) -> bool:
    """Whether a config's model is one of Open-CD's."""
    return cfg.model.type == TYPE


@MODELS.register_module(name=TYPE)
def open_cd_model(detector: str, **parts: Any) -> nn.Module:
    """One of Open-CD's change detectors, the very object that its own tools would train.

    Args:
        detector: Its type, such as ``opencd.DIEncoderDecoder``.
        **parts: Its arguments; types of Open-CD's own have the prefix, those of mmseg and ours have none.

    Raises:
        OpenCDUnavailable: If Open-CD cannot be imported.
    """
    import_open_cd()
    return build_part(dict(type=detector, **parts))
