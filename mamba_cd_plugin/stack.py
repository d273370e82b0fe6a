"""Imports OpenMMLab's stack without its noise; every room that needs mmcv's or mmseg's parts imports this first."""
import io
import logging
import warnings
from collections.abc import Callable, Iterator
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
    from mmengine.logging import MMLogger
    from mmengine.model import BaseModule
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


@contextmanager
def log_without(unwanted: Callable[[str], bool]) -> Iterator[None]:
    """Leave some messages out of mmengine's log, on the terminal and in its file, while the block runs.

    Args:
        unwanted: Whether a message is left out.
    """
    def wanted(record: logging.LogRecord) -> bool:
        return not unwanted(record.getMessage())

    logger = MMLogger.get_current_instance()
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def initialize_quietly(model: BaseModule) -> None:
    """``init_weights`` without a message for each parameter, which mmengine shows on the terminal where no log file is
    kept."""
    with log_without(lambda message: '- torch.Size([' in message):
        model.init_weights()
