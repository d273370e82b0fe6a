"""mmengine's optimizer constructor with learning rates by the fan-in of a layer, few groups, and one log line."""
import inspect
from collections.abc import Sequence
from typing import Any

from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch import Tensor, nn
from torch.optim import Optimizer

from ..stack import log_without


def _is_about_one_parameter(message: str) -> bool:
    return message.startswith('paramwise_options') or 'is skipped since its requires_grad' in message


# What mmengine's constructor knows, and our key; anything else would be passed over in silence.
PARAMWISE_KEYS = {
    'bias_decay_mult', 'bias_lr_mult', 'bypass_duplicate', 'custom_keys', 'dcn_offset_lr_mult', 'dwconv_decay_mult',
    'flat_decay_mult', 'full_rate_fan_in', 'norm_decay_mult'
}


def fan_in(weight: Tensor, is_kernel: bool = False) -> int:
    """How many numbers each output of a layer sums over.

    Args:
        weight: (out, in, ...), or (direction, out, in) of the projections of the selective scan.
        is_kernel: Whether three dimensions are those of a one-dimensional convolution, (out, in, length).
    """
    return weight.shape[-1] if weight.ndim == 3 and not is_kernel else weight[0].numel()


# The second name is in the configs that older work dirs and checkpoints carry.
@OPTIM_WRAPPER_CONSTRUCTORS.register_module(name=['FanInOptimWrapperConstructor', 'QuietOptimWrapperConstructor'])
class FanInOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with learning rates that follow the fan-in of a layer where the config asks for it.

    mmengine makes a group of every parameter, and torch's optimizers start their kernels once a group: some 500 times a
    step for a few numbers each. Here those of equal settings are one group, in the order of their first parameters,
    and on a GPU an optimizer that can takes its fused kernel, unless the config sets ``fused`` or ``foreach``.

    Its 500 log lines on which parameters decay become one: whoever starts a training looks at the first screen of the
    log for the settings and the data.

    One more key of ``paramwise_cfg``: with ``full_rate_fan_in=N`` every weight of a linear layer or convolution that
    sums over more than N numbers learns at N / fan-in of the rate. A step of Adam moves each weight by the rate,
    whatever its gradient, so that an output of a wide layer moves in proportion to its width: at a rate that suits
    the 24 channels of the small V8's level 1, the trunk of level 4 (192 channels) grew from an rms of 0.9 to 9 in 100
    steps. With the rule one rate suits all levels and all sizes of a model. Source: Yang et al. 2021, "Tensor
    Programs V", arXiv 2203.03466, table 3 (Adam, hidden weights).

    Raises:
        ValueError: If ``paramwise_cfg`` has a key that nobody reads, or ``full_rate_fan_in`` is below 1.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model."""
        logger = MMLogger.get_current_instance()
        unknown = sorted(self.paramwise_cfg.keys() - PARAMWISE_KEYS)
        if unknown:
            raise ValueError(f'optim_wrapper.paramwise_cfg has the unknown keys {", ".join(unknown)}; known are '
                             f'{", ".join(sorted(PARAMWISE_KEYS))}')
        self._choose_fused(getattr(model, 'module', model))
        with log_without(_is_about_one_parameter):
            wrapper = super().__call__(model)
        groups = wrapper.optimizer.param_groups
        decaying = sum(p.numel() for group in groups if group.get('weight_decay') for p in group['params'])
        total = sum(p.numel() for group in groups for p in group['params'])
        logger.info(f'{type(wrapper.optimizer).__name__}: {total:,} parameters, weight decay on {decaying:,} of them')
        return wrapper

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', *args: Any, **kwargs: Any) -> None:
        """Add the parameters of a module, and at the end those of the whole model in few groups."""
        super().add_params(params, module, prefix, *args, **kwargs)
        if not prefix:  # mmengine calls it again for each child
            self._warn_of_idle_keys(module)
            self._slow_wide_layers(params, module, MMLogger.get_current_instance())
            params[:] = merge_groups(params)

    def _choose_fused(self, model: nn.Module) -> None:
        settings: dict[str, Any] = self.optimizer_cfg
        kind = OPTIMIZERS.get(settings['type']) if isinstance(settings['type'], str) else settings['type']
        free = 'fused' not in settings and 'foreach' not in settings
        on_gpu = all(p.is_cuda for p in model.parameters() if p.requires_grad)
        if kind is not None and free and on_gpu and 'fused' in inspect.signature(kind).parameters:
            self.optimizer_cfg: dict[str, Any] = {**settings, 'fused': True}  # a copy: the config is the user's

    def _warn_of_idle_keys(self, module: nn.Module) -> None:
        names = [name for name, _ in module.named_parameters()]
        idle = [key for key, factors in self.paramwise_cfg.get('custom_keys', {}).items()
                if 'lr_mult' in factors and not any(key in name for name in names)]
        if idle:
            MMLogger.get_current_instance().warning(
                f'optim_wrapper.paramwise_cfg.custom_keys: no parameter has {" or ".join(idle)} in its name, so that '
                f'this changes no learning rate; names are such as {names[0]}')

    def _slow_wide_layers(self, groups: list[dict], module: nn.Module, logger: MMLogger) -> None:
        limit = self.paramwise_cfg.get('full_rate_fan_in')
        if limit is None:
            return
        if not limit >= 1:
            raise ValueError(f'optim_wrapper.paramwise_cfg.full_rate_fan_in is {limit}; expected a number of inputs, '
                             'at least 1')
        slowed, kernels = 0, {id(part.weight) for part in module.modules() if isinstance(part, nn.Conv1d)}
        for group in groups:
            weight, = group['params']
            inputs = fan_in(weight, id(weight) in kernels) if weight.ndim > 1 else 0
            if inputs > limit:
                group['lr'] = group.get('lr', self.base_lr) * limit / inputs
                slowed += weight.numel()
        logger.info(f'{slowed:,} weights of layers with more than {limit} inputs learn at {limit} / inputs of the rate')


def merge_groups(groups: Sequence[dict]) -> list[dict]:
    """Groups of parameters with equal settings as one, in the order of their first parameters."""
    merged: list[dict] = []
    for group in groups:
        settings = {key: value for key, value in group.items() if key != 'params'}
        same = next((other for other in merged if {k: v for k, v in other.items() if k != 'params'} == settings), None)
        if same is None:
            merged.append({**settings, 'params': list(group['params'])})
        else:
            same['params'].extend(group['params'])
    return merged


def regroup_checkpoint(checkpoint: dict[str, Any], optimizer: Optimizer, model: nn.Module) -> None:
    """Bring optimizer and schedulers of a checkpoint with a group for each parameter into the groups of merge_groups.

    Older checkpoints are like that. Which kernel runs is no setting of the experiment: it stays as here.

    Args:
        checkpoint: Content of the file; changed in place.
        optimizer: The optimizer that is going to load it.
        model: The model that it belongs to.

    Raises:
        ValueError: If its groups are neither these nor one for each parameter.
    """
    groups, saved = optimizer.param_groups, checkpoint['optimizer']['param_groups']
    sizes, saved_sizes = ([len(group['params']) for group in some] for some in (groups, saved))
    if saved_sizes != sizes:
        places = {id(p): i for i, p in enumerate(p for p in model.parameters() if p.requires_grad)}
        if saved_sizes != [1] * len(places):
            raise ValueError(f'The optimizer of the checkpoint has {len(saved)} groups with {sum(saved_sizes)} '
                             f'parameters, that of this config {len(groups)} with {sum(sizes)}: it belongs to another '
                             'model or to another optim_wrapper.paramwise_cfg.')
        members = [[places[id(p)] for p in group['params']] for group in groups]
        _regroup_optimizer(checkpoint['optimizer'], members)
        schedulers = checkpoint.get('param_schedulers') or []
        for state in schedulers if isinstance(schedulers, list) else []:
            for key, values in state.items():
                if isinstance(values, list) and len(values) >= len(places):  # one more is mmengine's base rate
                    state[key] = [values[group[0]] for group in members] + values[len(places):]
    for group, loaded in zip(groups, checkpoint['optimizer']['param_groups']):
        loaded.update({key: group[key] for key in ('fused', 'foreach') if key in group})


def _regroup_optimizer(content: dict[str, Any], members: Sequence[Sequence[int]]) -> None:
    """A group for each list of the numbers of its parameters, which are counted through anew."""
    flat = [index for group in members for index in group]
    saved, state = content['param_groups'], content['state']
    new = {index: place for place, index in enumerate(flat)}
    content['state'] = {new[index]: value for index, value in state.items()}
    content['param_groups'] = [{**saved[group[0]], 'params': [new[index] for index in group]} for group in members]
