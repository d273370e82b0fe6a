"""A training that is fitted into a time, by a clock of which every step takes a known part."""
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mamba_cd_plugin.engine.hooks import progress_hooks
from mamba_cd_plugin.engine.resume import ResumeError

Make = Callable[..., Runner]
# Three epochs of two steps: cos(pi * 0/6), cos(pi * 1/6), ...
SCHEDULE = [dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)]


class Clock(Hook):
    """Lets every step take so many seconds, notes the rates, and may end the process like a power cut."""

    def __init__(self, now: float, per_step: float, stop_at: int = -1) -> None:
        self.now, self.per_step, self.stop_at = now, per_step, stop_at
        self.rates: list[float] = []
        self.validations = 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict = None) -> None:
        if runner.iter == self.stop_at:
            raise KeyboardInterrupt
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.now += self.per_step

    def after_val_epoch(self, runner: Runner, metrics: dict = None) -> None:
        self.validations += 1


@pytest.fixture
def train(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimpleNamespace]:
    """Train for a minute; every call begins at another time of day."""

    def run(per_step: float, start: float = 1000., stop_at: int = -1, **options: object) -> SimpleNamespace:
        clock = Clock(start, per_step, stop_at)
        monkeypatch.setattr(progress_hooks, 'time', SimpleNamespace(
            monotonic=lambda: clock.now, process_time=lambda: clock.now / 2))  # half of a core
        runner = make_runner({
            'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1),
            'param_scheduler': SCHEDULE, 'optim_wrapper.optimizer.lr': 1., 'train_cfg.val_interval': 4, **options})
        runner.register_hook(clock, 'HIGHEST')
        if stop_at >= 0:
            with pytest.raises(KeyboardInterrupt):
                runner.train()
        else:
            runner.train()
        return SimpleNamespace(epochs=runner.epoch, rates=clock.rates, validations=clock.validations,
                               work_dir=Path(runner.work_dir))

    return run


def cosine(position: int) -> float:
    """The rate after so many of the config's six steps."""
    return (1 + math.cos(math.pi * position / 6)) / 2


def test_the_schedule_is_stretched_to_the_time(train: Callable[..., SimpleNamespace]) -> None:
    """Twelve steps of 5 s fit where the config has six: two of them for each of its positions."""
    run = train(5.)
    assert run.epochs == 6
    assert run.rates == pytest.approx([cosine(step // 2) for step in range(12)])
    assert run.validations == 2  # after epoch 4, and after the last one, which is no multiple of 4
    assert (run.work_dir / 'epoch_6.pth').is_file()


def test_the_schedule_is_squeezed_into_the_time(train: Callable[..., SimpleNamespace]) -> None:
    """Four steps of 15 s fit: each is one and a half positions."""
    run = train(15.)
    assert run.epochs == 2
    assert run.rates == pytest.approx([cosine(position) for position in (0, 1, 3, 4)])


def test_cpu_time_counts_work_only(train: Callable[..., SimpleNamespace]) -> None:
    """Half of the cores' time goes to others: twice as many steps fit."""
    run = train(5., **{'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1, clock='cpu')})
    assert run.epochs == 12
    with pytest.raises(ValueError, match="clock must be 'wall' or 'cpu', but is 'gpu'"):
        progress_hooks.TimeBudgetHook(1., clock='gpu')


def test_epochs_are_whole_and_nearest_to_the_budget(train: Callable[..., SimpleNamespace]) -> None:
    assert train(4.).epochs == 8  # 7.5 fit
    assert train(40., start=0.).epochs == 1  # 0.75 fit


def test_a_resume_has_the_time_that_was_left(train: Callable[..., SimpleNamespace]) -> None:
    first = train(5., stop_at=5)  # in epoch 3, which begins again, and its time too
    assert len(first.rates) == 5
    second = train(5., start=1e6, resume=True)
    assert second.epochs == 6
    assert second.rates == pytest.approx([cosine(step // 2) for step in range(4, 12)])
    third = train(5., start=2e6, resume=True)
    assert (third.epochs, third.rates) == (6, [])


def test_a_resume_within_an_epoch_moves_no_schedule_twice(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM comes in the second of two steps of epoch 2; the rates go on as they would have."""
    loops = {'train_cfg.type': 'CDTrainLoop', 'default_hooks.checkpoint.type': 'ResumableCheckpointHook'}
    budget = {'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1), 'param_scheduler': SCHEDULE,
              'optim_wrapper.optimizer.lr': 1., 'train_cfg.val_interval': 9, **loops}
    rates = []
    for start, resume in ((1000., False), (1e6, True)):
        clock = Clock(start, 5.)
        monkeypatch.setattr(progress_hooks, 'time', SimpleNamespace(monotonic=lambda clock=clock: clock.now))
        runner = make_runner({**budget, 'resume': resume})
        runner.register_hook(clock, 'HIGHEST')
        if not resume:
            stop = Hook()
            stop.after_train_iter = lambda runner, **_: runner.iter == 2 and os.kill(os.getpid(), signal.SIGTERM)
            runner.register_hook(stop, 'HIGHEST')
            with pytest.raises(SystemExit):
                runner.train()
        else:
            runner.train()
        rates += clock.rates
    assert rates == pytest.approx([cosine(step // 2) for step in range(12)])
    with pytest.raises(ResumeError, match='had wall time of 60 s and now has wall time of 120 s'):
        make_runner({**budget, 'resume': True, 'default_hooks.param_scheduler.minutes': 2}).train()


@pytest.mark.parametrize('batches', [2, 4])
def test_gradients_are_accumulated_in_added_epochs_too(train: Callable[..., SimpleNamespace], batches: int,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 12 steps the config's six are divisible by 2, and leave a rest of 2 when divided by 4."""
    factors = []

    def noted(wrapper: OptimWrapper, loss: torch.Tensor) -> torch.Tensor:
        scaled = scale(wrapper, loss)
        factors.append(round(float(loss.detach() / scaled.detach())))
        return scaled

    scale = OptimWrapper.scale_loss
    monkeypatch.setattr(OptimWrapper, 'scale_loss', noted)
    run = train(5., **{'optim_wrapper.accumulative_counts': batches})
    assert (run.epochs, factors) == (6, [batches] * 12)


def test_an_epoch_longer_than_the_budget_is_said(train: Callable[..., SimpleNamespace]) -> None:
    run = train(60., log_level='WARNING')
    assert (run.epochs, run.validations) == (1, 1)
    log = ''.join(path.read_text() for path in run.work_dir.glob('*/*.log'))
    assert 'One epoch took 2.0 minutes, more than the whole budget of 1' in log


@pytest.mark.parametrize('minutes', [0, -1])
def test_a_budget_must_be_positive(minutes: float) -> None:
    with pytest.raises(ValueError, match='needs minutes > 0, but got'):
        progress_hooks.TimeBudgetHook(minutes)


def test_iterations_cannot_be_fitted(make_runner: Make) -> None:
    runner = make_runner({
        'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1),
        'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4)})
    with pytest.raises(TypeError, match='train_cfg.type is IterBasedTrainLoop'):
        runner.train()
