"""The averaged weights of mmengine's EMAHook, updated by a few kernels instead of one for each parameter."""
import torch
from mmengine.model import MomentumAnnealingEMA
from mmseg.registry import MODELS
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@MODELS.register_module()
class ForeachMomentumAnnealingEMA(MomentumAnnealingEMA):
    """mmengine's MomentumAnnealingEMA, with all parameters averaged at once.

    mmengine starts a kernel for each of some 600 parameters and buffers and makes a state dict, which on a GPU costs
    the host milliseconds a step. The state is the same, so that each resumes from the other's checkpoints.
    """

    # The model that is averaged, and where in it each averaged tensor lies; in a tuple, for a module as an attribute
    # would become a part of this one.
    _places: tuple[nn.Module, list[tuple[nn.Module, str]]] | None = None

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Average the parameters of the model, and its buffers too or else copy them, into this one's."""
        if self.steps == 0 or self.steps % self.interval:
            super().update_parameters(model)
            return
        if self._places is None or self._places[0] is not model:
            self._places = model, self._find(model)
        averaged = [value.data for value in self.avg_parameters.values() if value.is_floating_point()]
        current = [getattr(module, name).data.to(value.device)
                   for (module, name), value in zip(self._places[1], averaged)]
        momentum = max(self.momentum, self.gamma / (self.gamma + self.steps.item()))  # steps lies on the CPU
        get_ema_multi_avg_fn(1 - momentum)(averaged, current, self.steps)
        if not self.update_buffers:
            for own, other in zip(self.module.buffers(), model.buffers()):
                own.data.copy_(other.data)
        self.steps += 1

    def _find(self, model: nn.Module) -> list[tuple[nn.Module, str]]:
        """Module and attribute of each floating-point tensor that is averaged, in order."""
        places = {}
        for prefix, module in model.named_modules():
            for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                places[f'{prefix}.{name}' if prefix else name] = module, name
        return [places[name] for name, value in self.avg_parameters.items() if value.is_floating_point()]
