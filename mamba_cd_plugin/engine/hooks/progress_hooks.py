"""Hooks that follow the progress of a training: early stopping and a time budget."""
import time

import torch
from mmengine.dist import broadcast
from mmengine.hooks import EarlyStoppingHook, ParamSchedulerHook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ...private_names import set_epochs
from ..resume import ResumeError

# Key in mmengine's message hub, which travels with the checkpoints.
STOPPING_STATE = 'early_stopping'


@HOOKS.register_module()
class PlateauStoppingHook(EarlyStoppingHook):
    """mmengine's EarlyStoppingHook with two faults mended; same arguments.

    mmengine's asks for the training loop at the start of every run, also of a test, and asking builds it: a test would
    read the training data, and fail where there are none. And it forgets on a resume how long it has waited, so that a
    run that is interrupted often never stops.
    """

    # Before ResumableCheckpointHook (LOWEST), which saves the count.
    priority = 95

    def before_run(self, runner: Runner) -> None:
        """Do nothing here: the training loop is built later, see before_train."""

    def before_train(self, runner: Runner) -> None:
        """Check the training loop, and take up the count of the run that is resumed."""
        super().before_run(runner)
        state = runner.message_hub.get_info(STOPPING_STATE)
        if state is not None:
            self.best_score, self.wait_count = state['best_score'], state['wait_count']
            if self.wait_count >= self.patience:
                runner.train_loop.stop_training = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Decide, and note the count where the next checkpoint takes it along."""
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(STOPPING_STATE, {'best_score': self.best_score, 'wait_count': self.wait_count})


# Key in mmengine's message hub, which travels with the checkpoints.
BUDGET_STATE = 'time_budget'


@HOOKS.register_module()
class TimeBudgetHook(ParamSchedulerHook):
    """Run the whole schedule of the config in a given time instead of a given number of epochs.

    It takes the place of mmengine's ParamSchedulerHook and drives the schedulers by the clock: after a third of the
    time, the learning rate is what the config has after a third of ``max_epochs``, however many steps that took. A
    cosine then ends in time on a fast machine and on a slow or busy one, and models of different speed can be compared
    at equal cost. ::

        default_hooks = dict(param_scheduler=dict(type='TimeBudgetHook', minutes=30))

    Only whole epochs are trained. After each, ``max_epochs`` is set to the number that comes nearest to the budget,
    validations included, so that the last epoch is validated and saved as always. A resumed run has the remaining
    time. Such a run is not reproducible bit by bit: its number of steps depends on the machine. Batches at its end that
    make no whole step of accumulated gradients are lost.

    Args:
        minutes: Time of the training, from its first step; building the model is not counted.
        clock: ``'wall'``, or ``'cpu'`` for the time that the cores worked for this process: all its threads together,
            without its data workers. On a CPU that other programs use too, it gives models the same amount of work.

    Raises:
        ValueError: If ``minutes`` is not positive, or there is no such clock.
    """

    def __init__(self, minutes: float, clock: str = 'wall') -> None:
        if not minutes > 0:
            raise ValueError(f'TimeBudgetHook needs minutes > 0, but got minutes={minutes}.')
        if clock not in ('wall', 'cpu'):
            raise ValueError(f"TimeBudgetHook: clock must be 'wall' or 'cpu', but is {clock!r}.")
        self.seconds = 60. * minutes
        self._clock = clock
        self._start = 0.
        # Length of the config's schedule, and how far the schedulers have been moved.
        self._epochs = self._iters = 0
        self._epochs_moved = self._iters_moved = 0

    def before_train(self, runner: Runner) -> None:
        """Start the clock, or set it to the elapsed time of the resumed run.

        Raises:
            TypeError: If the training is not counted in epochs.
            ResumeError: If the run that is resumed had another budget.
        """
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop):
            raise TypeError(f'TimeBudgetHook fits epochs into the time, but train_cfg.type is {type(loop).__name__}; '
                            'use CDTrainLoop or mmengine\'s EpochBasedTrainLoop.')
        self._epochs, self._iters = loop.max_epochs, loop.max_iters
        state = runner.message_hub.get_info(BUDGET_STATE) or dict(
            elapsed=0., epochs=0, iters=0, fitting=loop.max_epochs)
        budget, before = (self.seconds, self._clock), state.get('budget')
        if before is not None and tuple(before) != budget:
            raise ResumeError(
                '--resume with another time budget: TimeBudgetHook had {1} time of {0:g} s and now has {3} time of '
                '{2:g} s. The schedule has followed the old one and cannot be moved back. Set it back, or begin a new '
                'training from these weights: --cfg-options load_from=CHECKPOINT with another --work-dir.'.format(
                    *before, *budget))
        self._start = self._now() - state['elapsed']
        self._epochs_moved, self._iters_moved = state['epochs'], state['iters']
        self._fit(runner, state['fitting'])
        # mmengine divides the last losses by what is left over for a last step, counted from the config's epochs. There
        # may be more of them: then it would divide by that number for the rest of the training, or by 0.
        runner.optim_wrapper.initialize_count_status(runner.model, runner.iter, -1)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Advance the schedulers that count iterations to the elapsed time."""
        elapsed = self._elapsed()
        while self._iters_moved < int(self._progress(elapsed) * self._iters):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
            self._iters_moved += 1
        self._note(runner, elapsed)  # a checkpoint within the epoch holds the schedulers as they are now

    def after_train_epoch(self, runner: Runner) -> None:
        """Move the schedulers that count epochs, and decide how many epochs there will be."""
        elapsed = self._elapsed()
        while self._epochs_moved < int(self._progress(elapsed) * self._epochs):
            super().after_train_epoch(runner)
            self._epochs_moved += 1
        done = runner.epoch + 1  # the loop counts the epoch only after its hooks
        self._fit(runner, max(done, round(self.seconds * done / elapsed)))
        self._note(runner, elapsed)
        if done == 1 and elapsed > 1.5 * self.seconds:
            runner.logger.warning(
                f'One epoch took {elapsed / 60:.1f} minutes, more than the whole budget of {self.seconds / 60:g}: the '
                'run ends with it. Make epochs shorter, by train_dataloader.dataset.indices=N for the first N pairs.')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Step the schedulers that follow the score, and let the checkpoint know of the time of the validation."""
        super().after_val_epoch(runner, metrics)
        if self._epochs:  # of a training
            self._note(runner, self._elapsed())

    def _note(self, runner: Runner, elapsed: float) -> None:
        """Note the state where the next checkpoint takes it along."""
        runner.message_hub.update_info(BUDGET_STATE, dict(
            elapsed=elapsed, epochs=self._epochs_moved, iters=self._iters_moved, fitting=runner.max_epochs,
            budget=(self.seconds, self._clock)))

    def _fit(self, runner: Runner, epochs: int) -> None:
        loop = runner.train_loop
        if epochs != loop.max_epochs:
            runner.logger.info(f'{epochs} epochs fit into {self.seconds / 60:g} minutes')
        set_epochs(loop, epochs)

    def _elapsed(self) -> float:
        """Seconds since the start, the same in every process, or their rates and epochs would differ."""
        elapsed = torch.tensor(self._now() - self._start, dtype=torch.float64)
        broadcast(elapsed)
        return float(elapsed)

    def _now(self) -> float:
        return time.process_time() if self._clock == 'cpu' else time.monotonic()

    def _progress(self, elapsed: float) -> float:
        return min(1., elapsed / self.seconds)
