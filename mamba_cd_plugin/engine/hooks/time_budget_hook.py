"""Hook that fits a training and its schedule into a given time, and what the command line sets for it."""
import math
import time
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast
from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import LinearParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ...private_names import set_epochs
from ..loops import CDTrainLoop
from ..resume import ResumeError

# Key in mmengine's message hub, which travels with the checkpoints.
BUDGET_STATE = 'time_budget'
CLOCKS = {'wall': 'wall-clock time', 'cpu': 'processor time'}
# A warm-up takes the iterations of the config, but never more of the time than this: where few steps fit into it, as on
# a CPU, one of 50 would be most of the training.
WARM_UP_SHARE = 0.1
FOLLOWS_SCORE = ('follows the score of the validations, and nobody knows when these stop improving, so that it cannot '
                 'be fitted into a time')


def set_time_budget(cfg: Config, minutes: float, clock: str = 'wall') -> None:
    """Give a training a time instead of its number of epochs: what `--minutes` and `--cpu-minutes` do.

    Args:
        cfg: The config of the run, which gets a :class:`TimeBudgetHook`.
        minutes: Its time.
        clock: ``'wall'`` or ``'cpu'``.

    Raises:
        ValueError: If the time is not positive, or the config's schedule cannot be fitted into a time.
    """
    option = f'--{"cpu-" if clock == "cpu" else ""}minutes {minutes:g}'
    if not 0 < minutes < math.inf:
        raise ValueError(f'{option}: expected the time of a training in minutes, more than 0')
    length = cfg.get('train_cfg') or {}
    if not length.get('max_epochs'):
        raise ValueError(f'{option}: train_cfg of {cfg.filename} counts no epochs (max_epochs), but has '
                         f'{length.get("type", "no type")} with max_iters={length.get("max_iters")}. The schedule of '
                         'such a training cannot be fitted into a time; use a config with CDTrainLoop')
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]:
        if str(scheduler.get('type', '')).startswith('ReduceOnPlateau'):
            raise ValueError(f'{option}: the schedule of {cfg.filename}, {scheduler["type"]}, {FOLLOWS_SCORE}. Use a '
                             'config with a cosine, such as those of configs/recipes or configs/small')
    budget = dict(type='TimeBudgetHook', minutes=minutes, **({} if clock == 'wall' else dict(clock=clock)))
    cfg.setdefault('default_hooks', {})['param_scheduler'] = budget  # as a whole, with no clock of the config's


@HOOKS.register_module()
class TimeBudgetHook(ParamSchedulerHook):
    """Run the whole schedule of the config in a given time instead of a given number of epochs.

    It takes the place of mmengine's ParamSchedulerHook and drives the schedulers by the clock: after a third of the
    time, the learning rate is what the config has after a third of ``max_epochs``, however many steps that took. A
    cosine then ends in time on a fast machine and on a slow or busy one, and models of different speed can be compared
    at equal cost. ``mamba-cd train --minutes 30`` sets it, or a config::

        default_hooks = dict(param_scheduler=dict(type='TimeBudgetHook', minutes=30))

    ::

        start: workers, kernels, first step --> schedule by the clock --> its end --> last validation, last checkpoint
        |---------------------------- minutes ---------------------------|            (on top)

    - The schedule begins when the first step is done, and goes on when the first step of a resumed run is: what a GPU
      takes to compile its kernels is part of the time, but moves no schedule.
    - A linear warm-up that counts iterations takes as many steps as in the config, and a tenth of the time at most.
    - Training ends within an epoch, when the time is over; this last epoch is validated and saved as always. With
      mmengine's own EpochBasedTrainLoop, which cannot leave an epoch, the number of whole epochs is the nearest.
    - Where less is left than a step takes, no epoch begins for it.
    - Validations on the way are part of the time. If one of them lasts up to the end or beyond, it is the last one.
    - After each epoch, ``max_epochs`` is set to the number that is expected, the last one included.
    - A resumed run has the remaining time.

    Such a run is not reproducible bit by bit: its number of steps depends on the machine. Batches at its end that make
    no whole step of accumulated gradients are lost.

    Args:
        minutes: Time of the training, from the start of its data workers; building the model is not counted.
        clock: ``'wall'``, or ``'cpu'`` for the time that the cores worked for this process: all its threads together,
            without its data workers. On a CPU that other programs use too, it gives models the same amount of work.

    Raises:
        ValueError: If ``minutes`` is not positive, or there is no such clock.
    """

    def __init__(self, minutes: float, clock: str = 'wall') -> None:
        if not 0 < minutes < math.inf:
            raise ValueError(f'TimeBudgetHook needs minutes > 0, but got minutes={minutes}.')
        if clock not in CLOCKS:
            raise ValueError(f"TimeBudgetHook: clock must be 'wall' or 'cpu', but is {clock!r}.")
        self.seconds = 60. * minutes
        self._clock = clock
        # When this process would have begun if the training had had no break; what was over when it did; and how long
        # its start and that of earlier processes took up to the end of their first steps.
        self._zero = self._resumed_at = self._starts = 0.
        self._started = False
        # Length of the config's schedule, and how far the schedulers have been moved.
        self._epochs = self._iters = 0
        self._epochs_moved = self._iters_moved = 0
        self._schedulers: list[Any] = []
        self._warm_ups: list[Any] = []
        self._trained: float | None = None

    def before_train(self, runner: Runner) -> None:
        """Start the clock, or set it to the elapsed time of the resumed run.

        Raises:
            TypeError: If the training is not counted in epochs.
            ValueError: If a schedule follows the score.
            ResumeError: If the run that is resumed had another budget, or none.
        """
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop):
            raise TypeError(f'TimeBudgetHook fits epochs into the time, but train_cfg.type is {type(loop).__name__}; '
                            'use CDTrainLoop or mmengine\'s EpochBasedTrainLoop.')
        self._epochs, self._iters = loop.max_epochs, loop.max_iters
        built = runner.param_schedulers or []
        self._schedulers = [each for several in built.values() for each in several] if isinstance(built, dict) \
            else list(built)
        for scheduler in self._schedulers:
            if getattr(scheduler, 'need_val_args', False):
                raise ValueError(f'TimeBudgetHook: {type(scheduler).__name__} {FOLLOWS_SCORE}. Use a schedule that '
                                 'counts epochs or iterations, such as CosineAnnealingLR.')
        self._warm_ups = [each for each in self._schedulers if self._is_warm_up(each)]
        state = self._restore(runner)
        self._say(runner, state['elapsed'])
        self._fit(runner, state['fitting'])
        # mmengine divides the last losses by what is left over for a last step, counted from the config's epochs. There
        # may be more of them: then it would divide by that number for the rest of the training, or by 0.
        runner.optim_wrapper.initialize_count_status(runner.model, runner.iter, -1)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Move the schedulers to the elapsed time, and end the epoch when it is over."""
        elapsed = self._elapsed()
        if not self._started:
            self._starts += elapsed - self._resumed_at
            self._started = True
        self._move(runner.iter + 1, self._progress(elapsed))
        self._note(runner, elapsed)  # a checkpoint within the epoch holds the schedulers as they are now
        if elapsed >= self.seconds:
            runner.train_loop.stop_training = True

    def after_train_epoch(self, runner: Runner) -> None:
        """Decide how many epochs there will be: before the loop and the checkpoint ask whether this was the last."""
        elapsed = self._trained = self._elapsed()
        done = runner.epoch + 1  # the loop counts the epoch only after its hooks
        left = self._epochs_left(runner, elapsed)
        self._fit(runner, done + left)
        self._note(runner, elapsed)
        if not left and elapsed > 1.5 * self.seconds:
            runner.logger.warning(
                f'The training took {elapsed / 60:.1f} minutes, more than its budget of {self.seconds / 60:g}: its '
                f'loop, {type(runner.train_loop).__name__}, trains whole epochs. Use CDTrainLoop, or make epochs '
                'shorter, by train_dataloader.dataset.indices=N for the first N pairs.')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """End the training if the time ran out meanwhile, and let the checkpoint know of the time of the validation."""
        if not self._epochs:  # of a test
            return
        elapsed = self._elapsed()
        # Where this epoch was not saved, a step more ends with a checkpoint.
        if self._is_over(runner, elapsed) and runner.epoch in runner.message_hub.get_info('keep_ckpt_ids', []):
            self._fit(runner, runner.epoch)
        self._note(runner, elapsed)

    def after_train(self, runner: Runner) -> None:
        """Say what became of the budget."""
        if self._trained is None:  # it was resumed at its end
            return
        per_epoch = len(runner.train_dataloader)
        short = runner.epoch * per_epoch - runner.iter
        cut = f', the last of them cut after {per_epoch - short} of its {per_epoch}' if short else ''
        runner.logger.info(
            f'The training took {self._trained / 60:.2f} minutes of {self.seconds / 60:g}: {runner.iter} iterations in '
            f'{runner.epoch} epochs{cut}. With the last validation it took {self._elapsed() / 60:.2f} minutes')

    def _is_warm_up(self, scheduler: Any) -> bool:
        return (isinstance(scheduler, LinearParamScheduler) and scheduler.start_factor < scheduler.end_factor
                and not scheduler.by_epoch and scheduler.begin == 0 and scheduler.end < self._iters)

    def _restore(self, runner: Runner) -> dict[str, Any]:
        """Take up the state of the run that is resumed, or the first one."""
        state = runner.message_hub.get_info(BUDGET_STATE)
        if state is None and runner.iter > 0:
            raise ResumeError(
                f'--resume with a time budget: the run had none up to iteration {runner.iter}, and its schedule cannot '
                'be fitted any more. Leave the budget out, or begin a new training from these weights: '
                '--cfg-options load_from=CHECKPOINT with another --work-dir.')
        if state is None:
            state = dict(elapsed=0., starts=0., epochs=0, iters=0, fitting=self._epochs)
        budget, before = (self.seconds, self._clock), state.get('budget')
        if before is not None and tuple(before) != budget:
            raise ResumeError(
                '--resume with another time budget: TimeBudgetHook had {1} time of {0:g} s and now has {3} time of '
                '{2:g} s. The schedule has followed the old one and cannot be moved back. Set it back, or begin a new '
                'training from these weights: --cfg-options load_from=CHECKPOINT with another --work-dir.'.format(
                    *before, *budget))
        self._resumed_at = state['elapsed']
        self._zero = self._now() - self._resumed_at
        self._starts = state.get('starts', 0.)  # for older checkpoints the schedule began with the clock
        self._epochs_moved, self._iters_moved = state['epochs'], state['iters']
        return state

    def _say(self, runner: Runner, elapsed: float) -> None:
        """Log what was set."""
        warm_up = ''.join(f', its warm-up into {each.end} iterations ({WARM_UP_SHARE:.0%} of the time at most)'
                          for each in self._warm_ups[:1])
        schedule = f'the schedule of {self._epochs} epochs is fitted into them{warm_up}' if self._schedulers else \
            'the config has no schedule, so that the learning rate is constant'
        since = f', of which {elapsed / 60:.1f} are over' if elapsed else ' from now on'
        runner.logger.info(
            f'Time budget: {self.seconds / 60:g} minutes of {CLOCKS[self._clock]}{since}; {schedule}. What came '
            'before, the last validation and the last checkpoint are not counted')

    def _move(self, iters: int, progress: float) -> None:
        """Advance the schedulers to a share of the config's length; warm-ups to a number of iterations."""
        others = [each for each in self._schedulers if each not in self._warm_ups]
        while self._iters_moved < int(progress * self._iters):
            _step(each for each in others if not each.by_epoch)
            self._iters_moved += 1
        while self._epochs_moved < int(progress * self._epochs):
            _step(each for each in others if each.by_epoch)
            self._epochs_moved += 1
        for warm_up in self._warm_ups:
            steps = max(iters, int(progress / WARM_UP_SHARE * warm_up.end))
            while warm_up.last_step < min(steps, warm_up.end - 1):
                warm_up.step()

    def _epochs_left(self, runner: Runner, elapsed: float) -> int:
        """How many more epochs there will be at the pace up to now, the one that is cut included."""
        if self._is_over(runner, elapsed):
            return 0
        # A coarse clock may show no time.
        epochs = (self.seconds - elapsed) / max(self._per_step(runner, elapsed) * len(runner.train_dataloader), 1e-3)
        return max(1, math.ceil(epochs)) if isinstance(runner.train_loop, CDTrainLoop) else round(epochs)

    def _is_over(self, runner: Runner, elapsed: float) -> bool:
        """Whether no epoch is to begin any more; whole ones are rounded, and a first step is no measure."""
        left = self.seconds - elapsed
        cuts = isinstance(runner.train_loop, CDTrainLoop) and runner.iter > 1
        return left <= 0 or (cuts and left < self._per_step(runner, elapsed))

    def _per_step(self, runner: Runner, elapsed: float) -> float:
        """Seconds of a step up to now, the validations in them."""
        # Without the first step, which compiles and waits for the workers; of an only step there is nothing else.
        return (elapsed - self._starts) / (runner.iter - 1) if runner.iter > 1 else elapsed

    def _note(self, runner: Runner, elapsed: float) -> None:
        """Note the state where the next checkpoint takes it along."""
        runner.message_hub.update_info(BUDGET_STATE, dict(
            elapsed=elapsed, starts=self._starts, epochs=self._epochs_moved, iters=self._iters_moved,
            fitting=runner.max_epochs, budget=(self.seconds, self._clock)))

    def _fit(self, runner: Runner, epochs: int) -> None:
        loop = runner.train_loop
        if epochs != loop.max_epochs:
            runner.logger.info(f'{epochs} epochs are expected in {self.seconds / 60:g} minutes')
        set_epochs(loop, epochs)

    def _elapsed(self) -> float:
        """Seconds since the start, the same in every process, or their rates and epochs would differ."""
        elapsed = torch.tensor(self._now() - self._zero, dtype=torch.float64)
        broadcast(elapsed)
        return float(elapsed)

    def _now(self) -> float:
        return time.process_time() if self._clock == 'cpu' else time.monotonic()

    def _progress(self, elapsed: float) -> float:
        """How much of the schedule's time is over, from 0 to 1."""
        return (elapsed - self._starts) / (self.seconds - self._starts) if elapsed < self.seconds else 1.


def _step(schedulers: Any) -> None:
    for scheduler in schedulers:
        scheduler.step()
