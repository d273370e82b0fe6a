"""Hook that lets one loss of several come in by and by."""
from typing import Optional

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class LossRampHook(Hook):
    """Raise the weight of a loss of the decode head linearly to the one of the config, over the first iterations.

    Lovasz sorts the errors of a whole batch: of random logits it lifts every pixel alike until all are near 0. Beside
    a loss that has already told changed from unchanged pixels it sharpens their edge instead.

    The weight follows from the number of the iteration alone, so that a resumed run continues where it was.

    Args:
        loss: Name of the loss in the log, such as ``loss_lovasz``.
        iters: After so many iterations of the run it has its full weight.
        start: Share of the weight at the first iteration, 0 to 1.

    Raises:
        ValueError: If ``iters`` or ``start`` is out of range, or the head has no loss of that name.
    """

    def __init__(self, loss: str, iters: int, start: float = 0.) -> None:
        if iters < 1 or not 0 <= start <= 1:
            raise ValueError(f'LossRampHook needs iters >= 1 and start in 0..1, but got iters={iters}, start={start}')
        self.loss, self.iters, self.start = loss, iters, start

    def before_train(self, runner: Runner) -> None:
        """Find the loss and remember its weight."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        losses = {loss.loss_name: loss for loss in model.decode_head.loss_decode}
        if self.loss not in losses:
            raise ValueError(f'LossRampHook: the decode head has no loss {self.loss!r}; it has {", ".join(losses)}')
        self._module = losses[self.loss]
        self._weight = self._module.loss_weight

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None) -> None:
        """Set the weight of this iteration."""
        share = min(1., self.start + (1 - self.start) * runner.iter / self.iters)
        self._module.loss_weight = share * self._weight
