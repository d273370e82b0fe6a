"""Hooks that stop a training that has failed: a loss that is NaN or infinite, a model that predicts one class only."""
from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample

from ..diagnosis import (
    count_labels,
    diagnose_collapse,
    diagnose_nonfinite,
    format_verdicts,
    gather_evidence,
    image_names,
)
from ..recovery import describe_last_good, keep_last_good


class NonFiniteLossError(RuntimeError):
    """A loss, or a weight about to be saved, is NaN or infinite."""


@HOOKS.register_module()
class NonFiniteLossGuardHook(Hook):
    """Stop at the first NaN or infinite loss, and report its term, its images and the likely cause.

    Every iteration is looked at: mmengine's RuntimeInfoHook reads each loss term off the device anyway, to log it, and
    these numbers are taken, so that the guard itself never waits for the device.
    By then the step with the bad gradients is done, but nothing of it reaches a file: the run ends before a checkpoint
    is written. Weights that a finite loss has spoilt (its gradient can still be NaN) are caught at the end of the epoch
    and when they are to be saved. So every existing checkpoint is good, and the error names the newest.

    Raises:
        NonFiniteLossError: With the diagnosis.
    """

    # Before CheckpointHook (VERY_LOW), which may save after this very iteration.
    priority = 'NORMAL'

    def __init__(self) -> None:
        self._logged = False

    def before_train(self, runner: Runner) -> None:
        """See whether the loss terms are read already; without that hook the numbers would be those of another run."""
        self._logged = any(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict[str, torch.Tensor] | None = None) -> None:
        """Look at every loss term of this iteration."""
        scalars = runner.message_hub.log_scalars if self._logged else {}
        losses = {name: float(scalars[f'train/{name}'].current() if f'train/{name}' in scalars else value.detach())
                  for name, value in (outputs or {}).items() if 'loss' in name}
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

    def _check_weights(self, runner: Runner, state_dict: dict[str, torch.Tensor]) -> None:
        bad = [name for name, value in state_dict.items()
               if value.is_floating_point() and not torch.isfinite(value).all()]
        if bad:
            raise NonFiniteLossError(
                f'{len(bad)} of {len(state_dict)} weights are NaN or infinite, such as {bad[0]}, although the loss was '
                'finite: no checkpoint was written. Lower the learning rate or clip the gradients '
                f'(optim_wrapper.clip_grad). {describe_last_good(runner, newest_is_good=True)}')

    def _report(self, runner: Runner, data_batch: dict, losses: dict[str, float], bad: Sequence[str]) -> str:
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
            format_verdicts(diagnose_nonfinite(evidence)),
            describe_last_good(runner, newest_is_good=True),
        ])


def is_finite(value: float) -> bool:
    """Whether a value is neither NaN nor infinite."""
    return abs(value) < float('inf')


# Key in mmengine's message hub, which travels with the checkpoints.
STATE_INFO = 'collapsed_in_a_row'
# Cohen's kappa is 0 for predictions that have nothing to do with the ground truth, whatever their share of change: it
# tells what F1 does not, since a random mask of p changed pixels has an F1 of about p.
CHANCE = 0.01


class CollapsedPredictionError(RuntimeError):
    """Whole validations predicted one class only."""


@HOOKS.register_module()
class CollapseGuardHook(Hook):
    """Stop a run when every pixel of several validations in a row is predicted as one class, and say why.

    It counts the predictions themselves, not a score: F1 is also 0 for a model that merely finds the wrong places.
    While they are sound it keeps the newest training checkpoint as ``last_good.pth`` in the work dir (complete, with
    the optimizer), because CheckpointHook deletes the older ones and a collapse shows only some epochs later.

    Args:
        begin: Iterations of training before which nothing is judged. A young model rightly predicts the commoner class
            until the losses have outweighed the 20:1 of the pixels. Iterations and not epochs, because it is the number
            of updates that makes a model young: an epoch is 3 of them on ten pairs and 593 on LEVIR-CD.
        patience: Consecutive validations that must be of one class. A single one happens in sound runs, when a step is
            too long early on, and is left again by itself.

    Raises:
        CollapsedPredictionError: With the diagnosis.
    """

    # The scores are logged and the curves drawn before the run ends. Before ResumableCheckpointHook (LOWEST), which
    # saves the count.
    priority = 95

    def __init__(self, begin: int = 500, patience: int = 3) -> None:
        if begin < 0 or patience < 1:
            raise ValueError(f'CollapseGuardHook needs begin >= 0 iterations and patience >= 1 validations, but got '
                             f'begin={begin} and patience={patience}.')
        self.begin = begin
        self.patience = patience
        self._training = False
        self._in_a_row = 0
        self._label_pixels = (0, 0, 0)
        self._last_batch: dict | None = None
        self._counts = torch.zeros(4, dtype=torch.int64)

    def before_train(self, runner: Runner) -> None:
        """Judge validations from here on: `tools/test.py` and a lone validation have nothing to stop."""
        self._training = True
        self._in_a_row = runner.message_hub.get_info(STATE_INFO, 0)

    def after_train(self, runner: Runner) -> None:
        """Stop judging."""
        self._training = False

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Count the classes in the labels and remember the batch, on which the gradients may have to be measured."""
        unchanged, changed, ignored = (a + b for a, b in zip(self._label_pixels, count_labels(data_batch)))
        self._label_pixels = unchanged, changed, ignored
        self._last_batch = data_batch

    def before_val_epoch(self, runner: Runner) -> None:
        """Start counting predictions."""
        self._counts = torch.zeros(4, dtype=torch.int64)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[SegDataSample] | None = None) -> None:
        """Count pixels and changed pixels, of the predictions and of the truth."""
        for sample in outputs:
            prediction = sample.pred_sem_seg.data
            self._counts[0] += prediction.numel()
            self._counts[1] += int((prediction == 1).sum())
        unchanged, changed, _ = count_labels({'data_samples': outputs})
        self._counts[2] += unchanged + changed
        self._counts[3] += changed

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Judge this validation."""
        if not self._training:
            return
        all_reduce(self._counts)
        pixels, predicted, labelled, changed = self._counts.tolist()
        one_class = predicted in (0, pixels)
        if one_class and labelled and changed == (labelled if predicted else 0):
            one_class = False  # the truth is of that one class too
        if not one_class:
            self._in_a_row = 0
            runner.message_hub.update_info(STATE_INFO, 0)
            keep_last_good(runner)
            kappa = (metrics or {}).get('Kappa')
            if kappa is not None and abs(kappa) < CHANCE and 0 < changed < labelled and runner.iter >= self.begin:
                runner.logger.warning(
                    f'Kappa is {kappa:.4f}: these predictions agree with the ground truth no more than a random mask '
                    f'with {predicted / pixels:.2%} of its pixels changed would. If it stays so, the model does not '
                    'learn: check labels and learning rate')
        elif runner.iter >= self.begin:
            self._in_a_row += 1
            what = 'changed' if predicted else 'unchanged'
            runner.logger.warning(f'Every one of the {pixels:,} pixels of this validation was predicted as {what} '
                                  f'({self._in_a_row} in a row; at {self.patience} the run stops)')
            runner.message_hub.update_info(STATE_INFO, self._in_a_row)
            if self._in_a_row >= self.patience:
                runner.visualizer.close()  # writes out what TensorBoard still holds back
                raise CollapsedPredictionError(self._report(runner, what, pixels))

    def _report(self, runner: Runner, what: str, pixels: int) -> str:
        evidence = gather_evidence(runner, self._last_batch, self._label_pixels, gradients=True)
        return '\n'.join([
            f'The model has collapsed: in {self._in_a_row} validations in a row, the last in epoch {runner.epoch}, '
            f'every one of {pixels:,} pixels was predicted as {what}.',
            format_verdicts(diagnose_collapse(evidence)),
            describe_last_good(runner, newest_is_good=False),
        ])
