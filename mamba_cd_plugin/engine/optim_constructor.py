"""mmengine's optimizer constructor without a log line per parameter."""
import logging

from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


def _is_not_about_one_parameter(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith('paramwise_options')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class QuietOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Same settings and same result; its 500 lines on who decays and who does not become one.

    Whoever starts a training looks at the first screen of the log for the settings and the data.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model."""
        logger = MMLogger.get_current_instance()
        logger.addFilter(_is_not_about_one_parameter)
        try:
            wrapper = super().__call__(model)
        finally:
            logger.removeFilter(_is_not_about_one_parameter)
        groups = wrapper.optimizer.param_groups
        decaying = sum(p.numel() for group in groups if group.get('weight_decay') for p in group['params'])
        total = sum(p.numel() for group in groups for p in group['params'])
        logger.info(f'{type(wrapper.optimizer).__name__}: {total:,} parameters, weight decay on {decaying:,} of them')
        return wrapper
