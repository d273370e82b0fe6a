"""State-space models for change detection in bitemporal satellite images, as an MMSegmentation / Open-CD plugin.

Importing the package registers every component in mmseg's registries; a config does it by
``custom_imports = dict(imports=['mamba_cd_plugin'])``.
"""
import sys

from .version import __version__

__all__ = ['__version__']


def _doctor_is_starting() -> bool:
    """Whether this import is the first step of ``python -m mamba_cd_plugin.doctor`` (or of its probe).

    While Python looks for the module that ``-m`` names, argv[0] is '-m'. Python 3.9 does not keep the rest of the
    command; there the doctor can start only where the stack can be imported.
    """
    command = getattr(sys, 'orig_argv', [])
    return sys.argv[:1] == ['-m'] and any(f'{__name__}.doctor' in argument for argument in command)


# The doctor has to run just where torch, mmengine, mmcv or mmseg cannot be imported.
if not _doctor_is_starting():
    from . import registration  # noqa: F401
