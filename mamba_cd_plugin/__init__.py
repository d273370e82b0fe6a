"""State-space models for change detection in bitemporal satellite images, as an MMSegmentation / Open-CD plugin.

Importing the package registers every component in mmseg's registries; a config does it by
``custom_imports = dict(imports=['mamba_cd_plugin'])``.
"""
import warnings

from .version import __version__

try:
    import mmengine.registry  # noqa: F401  imports torch, which would undo the filter below
    with warnings.catch_warnings():
        # mmcv without compiled ops says so at import; nothing here uses them.
        warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
        import mmcv.cnn  # noqa: F401
        import mmseg  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'mamba_cd_plugin needs mmengine, mmcv and mmsegmentation, and importing them failed: {error}. Install one of '
        "the two distributions, never both over each other: pip install 'mamba_cd_plugin[onedl]' (maintained, tested) "
        "or 'mamba_cd_plugin[upstream]'") from error

from . import datasets, engine, evaluation, models, visualization  # noqa: F401  each registers its components

__all__ = ['__version__']
