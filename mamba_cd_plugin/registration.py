"""Registers every component in mmseg's registries when it is imported: the module for a config's ``custom_imports``.

In Python, ``mamba_cd_plugin.register_all_modules()`` does the same.
"""
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

# What the stack says at each import although nothing is wrong: mmcv without compiled ops, none of which is used here,
# and onedl-mmsegmentation without a companion package.
NOISE = ('Fail to import ``MultiScaleDeformableAttention``', 'Could not import OneDL')


@contextmanager
def _without_noise() -> Iterator[None]:
    """Hold back warnings and output while the stack is imported, and pass on all but the noise.

    A warnings filter would not do: what is imported meanwhile puts filters of its own in front of it.
    """
    with redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        if not str(warning.message).startswith(NOISE):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    for line in printed.getvalue().splitlines():
        if not line.startswith(NOISE):
            print(line)


try:
    import mmengine.registry  # noqa: F401  brings torch, whose warning filters are meant to stay
    with _without_noise():
        import mmcv.cnn  # noqa: F401
        import mmseg.datasets  # noqa: F401
        import mmseg.models  # noqa: F401
# AssertionError is how mmseg refuses a version of mmcv or mmengine.
except (ImportError, AssertionError) as error:
    raise ImportError(
        f'mamba_cd_plugin needs mmengine, mmcv and mmsegmentation, and importing them failed: {error}. '
        '`python -m mamba_cd_plugin.doctor` says what to do. Install one of the two distributions, never both: '
        "pip install 'mamba_cd_plugin[onedl]' (maintained, tested) or 'mamba_cd_plugin[upstream]'") from error

from . import datasets, engine, evaluation, models, visualization  # noqa: E402, F401  each registers its components
