"""Hook that stops a training at the first loss that is not a finite number."""
from typing import Dict, Optional, Sequence

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..diagnosis import diagnose_nonfinite, format_findings
from ..evidence import gather_evidence, image_names
from ..recovery import describe_last_good


class NonFiniteLossError(RuntimeError):
    """A loss, or a weight about to be saved, is NaN or infinite."""


@HOOKS.register_module()
class NonFiniteLossGuardHook(Hook):
    """Stop at the first NaN or infinite loss, and report its term, its images and the likely cause.

    Every iteration is looked at: mmengine reads each loss term off the device anyway, to log it, so this costs nothing.
    By then the step with the bad gradients is done, but nothing of it reaches a file: the run ends before a checkpoint
    is written. Weights that a finite loss has spoilt (its gradient can still be NaN) are caught at the end of the epoch
    and when they are to be saved. So every checkpoint there is is good, and the newest is named in the error.

    Raises:
        NonFiniteLossError: With the diagnosis.
    """

    # Before CheckpointHook (VERY_LOW), which may save after this very iteration.
    priority = 'NORMAL'

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[Dict[str, torch.Tensor]] = None) -> None:
        """Look at every loss term of this iteration."""
        losses = {name: float(value.detach()) for name, value in (outputs or {}).items() if 'loss' in name}
        bad = [name for name, value in losses.items() if not is_finite(value)]
        if bad:
            runner.visualizer.close()  # writes out what TensorBoard still holds back; mmengine does it only at the end
            raise NonFiniteLossError(self._report(runner, data_batch, losses, bad))

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the weights before CheckpointHook deletes an older checkpoint to make room for them."""
        self._check_weights(runner, runner.model.state_dict())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Let no checkpoint with NaN or infinite weights be written."""
        self._check_weights(runner, checkpoint['state_dict'])

    def _check_weights(self, runner: Runner, state_dict: Dict[str, torch.Tensor]) -> None:
        bad = [name for name, value in state_dict.items()
               if value.is_floating_point() and not torch.isfinite(value).all()]
        if bad:
            raise NonFiniteLossError(
                f'{len(bad)} of {len(state_dict)} weights are NaN or infinite, such as {bad[0]}, although the loss was '
                'finite: no checkpoint was written. Lower the learning rate or clip the gradients '
                f'(optim_wrapper.clip_grad). {describe_last_good(runner, newest_is_good=True)}')

    def _report(self, runner: Runner, data_batch: dict, losses: Dict[str, float], bad: Sequence[str]) -> str:
        # The sum follows from its terms; name it only where it is all there is.
        terms = [name for name in bad if name != 'loss'] or bad
        finite = [name for name in losses if name not in bad]
        evidence = gather_evidence(runner, data_batch)
        scale = 'off' if evidence.loss_scale is None else f'on, loss scale {evidence.loss_scale:g}'
        return '\n'.join([
            f'Non-finite loss in iteration {runner.iter + 1}, epoch {runner.epoch + 1}: '
            + ', '.join(f'{name} = {losses[name]}' for name in terms)
            + (f" ({', '.join(f'{name} = {losses[name]:.4g}' for name in finite)})" if finite else ''),
            f'Learning rate {evidence.rates[-1] if len(evidence.rates) else float("nan"):.3g}, mixed precision {scale}',
            f'Images of this batch: {", ".join(image_names(data_batch))}',
            format_findings(diagnose_nonfinite(evidence)),
            describe_last_good(runner, newest_is_good=True),
        ])


def is_finite(value: float) -> bool:
    """Neither NaN nor infinite."""
    return abs(value) < float('inf')
