"""The averaged weights of mmengine's EMAHook, updated by a few kernels instead of one for each parameter."""
import torch
from mmengine.model import MomentumAnnealingEMA
from mmseg.registry import MODELS
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@MODELS.register_module()
class ForeachMomentumAnnealingEMA(MomentumAnnealingEMA):
    """mmengine's MomentumAnnealingEMA, with all parameters averaged at once.

    mmengine starts a kernel for each of some 600 parameters and buffers, which on a GPU costs the host milliseconds a
    step. The state is the same, so that each resumes from the other's checkpoints.
    """

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Average the parameters of the model, and its buffers too or else copy them, into this one's."""
        if self.steps == 0 or self.steps % self.interval:
            super().update_parameters(model)
            return
        source = model.state_dict() if self.update_buffers else dict(model.named_parameters())
        names = [name for name, value in self.avg_parameters.items() if value.is_floating_point()]
        averaged = [self.avg_parameters[name].data for name in names]
        current = [source[name].data.to(value.device) for name, value in zip(names, averaged)]
        momentum = max(self.momentum, self.gamma / (self.gamma + self.steps.item()))  # steps lies on the CPU
        get_ema_multi_avg_fn(1 - momentum)(averaged, current, self.steps)
        if not self.update_buffers:
            for own, other in zip(self.module.buffers(), model.buffers()):
                own.data.copy_(other.data)
        self.steps += 1
