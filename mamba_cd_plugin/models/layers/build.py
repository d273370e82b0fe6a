"""Building a nested part of ours, whichever framework's runner is in charge."""
from typing import Any

from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn


def build_part(cfg: dict, **defaults: Any) -> nn.Module:
    """Build a part from its config in mmseg's scope.

    Our parts nest (a head has a skip, which has a block). Under Open-CD the default scope is ``opencd``, where an
    unprefixed nested ``type`` would not be found; so that only the three outermost types need the prefix ``mmseg.``
    there, everything inside them is looked up in mmseg's scope.

    Args:
        cfg: the part's config with its ``type``.
        **defaults: arguments of the part that its config does not give itself, such as its number of channels.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg, default_args=defaults)
