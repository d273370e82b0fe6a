"""State-space models for change detection in bitemporal satellite images, as an MMSegmentation / Open-CD plugin.

Importing the package changes nothing in the process, and imports neither torch nor mmengine: the names below are
looked up when they are used. The components are registered by :func:`register_all_modules`, or by a config's
``custom_imports = dict(imports=['mamba_cd_plugin.registration'])``.
"""
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .inference import ChangeDetectionInferencer, ChangeDetector, get_model, list_models
    from .ops import selective_scan
    from .zoo import list_weights

# Name: the module that has it.
_LAZY = {
    'ChangeDetectionInferencer': '.inference',
    'ChangeDetector': '.inference',
    'get_model': '.inference',
    'list_models': '.inference',
    'list_weights': '.zoo',
    'selective_scan': '.ops',
}

__all__ = [
    'ChangeDetectionInferencer', 'ChangeDetector', '__version__', 'get_model', 'list_models', 'list_weights',
    'register_all_modules', 'selective_scan'
]


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register every component in mmseg's registries, and mmseg's own.

    Args:
        init_default_scope: Whether mmseg's becomes mmengine's default scope, so that a config can name all of them
            without a prefix.

    Raises:
        ImportError: If mmengine, mmcv or mmseg cannot be imported; the message says what to install.
    """
    import_module('.registration', __name__)
    if init_default_scope:
        import_module('mmengine.registry').init_default_scope('mmseg')


def __getattr__(name: str) -> Any:
    """Look up one of the lazy names (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}; it has {", ".join(__all__)}')
    value = getattr(import_module(_LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
