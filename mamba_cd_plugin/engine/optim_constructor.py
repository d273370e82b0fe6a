"""mmengine's optimizer constructor with learning rates by the fan-in of a layer, and one log line."""
from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor, nn

from ..stack import log_without


def _is_about_one_parameter(message: str) -> bool:
    return message.startswith('paramwise_options') or 'is skipped since its requires_grad' in message


def fan_in(weight: Tensor) -> int:
    """How many numbers each output of a layer sums over, from its weight (out, in, ...).

    The projections of the selective scan are (direction, out, in).
    """
    return weight.shape[-1] if weight.ndim == 3 else weight[0].numel()


# The second name is in the configs that older work dirs and checkpoints carry.
@OPTIM_WRAPPER_CONSTRUCTORS.register_module(name=['FanInOptimWrapperConstructor', 'QuietOptimWrapperConstructor'])
class FanInOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with learning rates that follow the fan-in of a layer where the config asks for it.

    Its 500 log lines on which parameters decay become one: whoever starts a training looks at the first screen of the
    log for the settings and the data.

    One more key of ``paramwise_cfg``: with ``full_rate_fan_in=N`` every weight of a linear layer or convolution that
    sums over more than N numbers learns at N / fan-in of the rate. A step of Adam moves each weight by the rate,
    whatever its gradient, so that an output of a wide layer moves in proportion to its width: at a rate that suits
    the 24 channels of the small V8's level 1, the trunk of level 4 (192 channels) grew from an rms of 0.9 to 9 in 100
    steps. With the rule one rate suits all levels and all sizes of a model. Source: Yang et al. 2021, "Tensor
    Programs V", arXiv 2203.03466, table 3 (Adam, hidden weights).
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model."""
        logger = MMLogger.get_current_instance()
        with log_without(_is_about_one_parameter):
            wrapper = super().__call__(model)
        groups = wrapper.optimizer.param_groups
        self._slow_wide_layers(groups, logger)
        decaying = sum(p.numel() for group in groups if group.get('weight_decay') for p in group['params'])
        total = sum(p.numel() for group in groups for p in group['params'])
        logger.info(f'{type(wrapper.optimizer).__name__}: {total:,} parameters, weight decay on {decaying:,} of them')
        return wrapper

    def _slow_wide_layers(self, groups: list[dict], logger: MMLogger) -> None:
        limit = self.paramwise_cfg.get('full_rate_fan_in')
        if limit is None:
            return
        if not limit >= 1:
            raise ValueError(f'optim_wrapper.paramwise_cfg.full_rate_fan_in is {limit}; expected a number of inputs, '
                             'at least 1')
        slowed = 0
        for group in groups:
            weight, = group['params']  # one group per parameter wherever there is a paramwise_cfg
            if weight.ndim > 1 and fan_in(weight) > limit:
                group['lr'] *= limit / fan_in(weight)
                slowed += weight.numel()
        logger.info(f'{slowed:,} weights of layers with more than {limit} inputs learn at {limit} / inputs of the rate')
