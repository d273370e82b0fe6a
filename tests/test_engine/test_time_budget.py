"""A training that is fitted into a time, by a clock of which every step takes a known part."""
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mamba_cd_plugin.cli import train as train_command
from mamba_cd_plugin.cli.main import main
from mamba_cd_plugin.engine.hooks import time_budget_hook
from mamba_cd_plugin.engine.resume import ResumeError
from mamba_cd_plugin.resources import find_config

Make = Callable[..., Runner]
# Three epochs of two steps: cos(pi * 0/6), cos(pi * 1/6), ...
SCHEDULE = [dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)]


class Clock(Hook):
    """Lets steps and validations take so many seconds, notes the rates, and may end the process like a power cut."""

    def __init__(self, now: float, per_step: float, first: float, per_validation: float, stop_at: object) -> None:
        self.now, self.per_step, self.first, self.per_validation = now, per_step, first, per_validation
        self.stop_at = stop_at
        self.rates: list[float] = []
        self.validations = 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict = None) -> None:
        if runner.iter == self.stop_at:
            raise KeyboardInterrupt
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.now += self.per_step if len(self.rates) > 1 else self.first or self.per_step

    def before_val_epoch(self, runner: Runner) -> None:
        if self.stop_at == 'validation':
            raise KeyboardInterrupt

    def after_val_epoch(self, runner: Runner, metrics: dict = None) -> None:
        self.now += self.per_validation
        self.validations += 1


@pytest.fixture
def train(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimpleNamespace]:
    """Train for a minute; every call begins at another time of day."""

    def run(per_step: float, first: float = 0., per_validation: float = 0., start: float = 1000.,
            stop_at: object = None, **options: object) -> SimpleNamespace:
        clock = Clock(start, per_step, first, per_validation, stop_at)
        monkeypatch.setattr(time_budget_hook, 'time', SimpleNamespace(
            monotonic=lambda: clock.now, process_time=lambda: clock.now / 2))  # half of a core
        runner = make_runner({
            'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1), 'train_cfg.type': 'CDTrainLoop',
            'default_hooks.checkpoint.type': 'ResumableCheckpointHook', 'log_level': 'INFO',
            'param_scheduler': SCHEDULE, 'optim_wrapper.optimizer.lr': 1., 'train_cfg.val_interval': 4, **options},
            [dict(type='ResumeHook')])
        runner.register_hook(clock, 'HIGHEST')
        if stop_at is not None:
            with pytest.raises(KeyboardInterrupt):
                runner.train()
        else:
            runner.train()
        work_dir = Path(runner.work_dir)
        return SimpleNamespace(epochs=runner.epoch, rates=clock.rates, validations=clock.validations, work_dir=work_dir,
                               log=''.join(path.read_text() for path in work_dir.glob('*/*.log')))

    return run


def cosine(position: int, of: int = 6) -> float:
    """The rate after so many of the config's steps."""
    return (1 + math.cos(math.pi * position / of)) / 2


def test_the_schedule_is_stretched_to_the_time(train: Callable[..., SimpleNamespace]) -> None:
    """Twelve steps of 5 s fit where the config has six; these are moved through in the 55 s after the first."""
    run = train(5.)
    assert run.epochs == 6
    assert run.rates == pytest.approx([cosine(each) for each in (0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5)])
    assert run.validations == 2  # after epoch 4, and after the last one, which is no multiple of 4
    assert (run.work_dir / 'epoch_6.pth').is_file()
    assert ('Time budget: 1 minutes of wall-clock time from now on; the schedule of 3 epochs is fitted into them. What '
            'came before') in run.log


def test_the_training_ends_within_an_epoch(train: Callable[..., SimpleNamespace]) -> None:
    """Three steps of 20 s fit, half of the schedule's time is over before the last, and two make an epoch."""
    run = train(20.)
    assert (run.epochs, run.validations, run.rates) == (2, 1, pytest.approx([cosine(0), cosine(0), cosine(3)]))
    assert torch.load(run.work_dir / 'epoch_2.pth', weights_only=False)['meta']['iter'] == 3
    assert ('The training took 1.00 minutes of 1: 3 iterations in 2 epochs, the last of them cut after 1 of its 2. '
            'With the last validation it took 1.00 minutes') in run.log


def test_a_schedule_in_epochs_follows_the_clock_within_them(train: Callable[..., SimpleNamespace]) -> None:
    steps = dict(type='MultiStepLR', milestones=[2], gamma=0.1)
    assert train(20., param_scheduler=steps, **{'train_cfg.max_epochs': 4}).rates == pytest.approx([1, 1, 0.1])


WARM_UP = dict(type='LinearLR', start_factor=0.2, by_epoch=False, begin=0, end=5)  # 0.2, 0.4, 0.6, 0.8, 1


def test_a_warm_up_takes_its_iterations_whatever_the_start_takes(train: Callable[..., SimpleNamespace]) -> None:
    """41 steps in the 40.5 s that the first one leaves, for 200 positions: 4.94 of them a step."""
    run = train(1., first=19.5, param_scheduler=[WARM_UP, dict(SCHEDULE[0], T_max=100)],
                **{'train_cfg.max_epochs': 100})
    assert len(run.rates) == 42
    factors = [0.2, 0.4, 0.6, 0.8, 1, 1]
    assert run.rates[:6] == pytest.approx([factor * cosine(position, 200)
                                           for factor, position in zip(factors, (0, 0, 4, 9, 14, 19))])
    assert run.rates[-1] == pytest.approx(cosine(197, 200))
    assert 'its warm-up into 5 iterations (10% of the time at most)' in run.log


def test_a_warm_up_takes_a_tenth_of_the_time_at_most(train: Callable[..., SimpleNamespace]) -> None:
    """Of 12 steps; the time of the third is 10 / 11 of the tenth, and 10.9 of its 12 iterations."""
    run = train(5., param_scheduler=dict(WARM_UP, end=12), **{'train_cfg.max_epochs': 10})
    assert run.rates == pytest.approx([0.2 + 0.8 * step / 11 for step in (0, 1, 10)] + [1] * 9)


def test_a_warm_up_goes_on_where_it_was(train: Callable[..., SimpleNamespace]) -> None:
    """Also where the second start takes a third of the time, of which a tenth would have ended it."""
    options = {'param_scheduler': WARM_UP, 'train_cfg.max_epochs': 100}
    assert len(train(0.1, stop_at=2, **options).rates) == 2
    assert train(0.1, first=20., resume=True, stop_at=6, **options).rates == pytest.approx([0.6, 0.8, 1, 1])


def test_a_validation_beyond_the_end_is_the_last(train: Callable[..., SimpleNamespace]) -> None:
    run = train(5., per_validation=50., **{'train_cfg.val_interval': 2})
    assert (run.epochs, run.validations) == (2, 1)
    unsaved = train(5., per_validation=50., work_dir=str(run.work_dir.parent / 'unsaved'), **{
        'train_cfg.val_interval': 2, 'default_hooks.checkpoint.interval': 9})
    assert (unsaved.epochs, unsaved.validations, len(unsaved.rates)) == (3, 2, 5)  # a step more, to save it
    assert (unsaved.work_dir / 'epoch_3.pth').is_file()


def test_no_epoch_begins_for_less_than_a_step(train: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    """Of 60 s, 4 are left after four steps of 14 s, and 3 after four of 5 s and a validation of 37 s."""
    for per_step, per_validation in ((14., 0.), (5., 37.)):
        run = train(per_step, per_validation=per_validation, work_dir=str(tmp_path / str(per_step)), **{
            'train_cfg.val_interval': 2})
        assert (run.epochs, len(run.rates), run.validations) == (2, 4, 1)
        assert (run.work_dir / 'epoch_2.pth').is_file()


def test_the_validation_of_a_cut_epoch_is_made_up_for(train: Callable[..., SimpleNamespace]) -> None:
    assert train(20., stop_at='validation').validations == 0
    resumed = train(20., resume=True)
    assert (resumed.validations, resumed.rates, resumed.epochs) == (1, [], 2)


def test_cpu_time_counts_work_only(train: Callable[..., SimpleNamespace]) -> None:
    """Half of the cores' time goes to others: twice as many steps fit."""
    run = train(5., **{'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1, clock='cpu')})
    assert run.epochs == 12
    with pytest.raises(ValueError, match="clock must be 'wall' or 'cpu', but is 'gpu'"):
        time_budget_hook.TimeBudgetHook(1., clock='gpu')


def test_mmengines_loop_trains_whole_epochs_nearest_to_the_budget(train: Callable[..., SimpleNamespace],
                                                                  tmp_path: Path) -> None:
    for per_step, epochs in ((3.5, 9), (5.5, 5), (40., 1)):  # 8.6, 5.5 and 0.75 fit
        run = train(per_step, work_dir=str(tmp_path / str(epochs)), **{'train_cfg.type': 'EpochBasedTrainLoop'})
        assert (run.epochs, len(run.rates)) == (epochs, 2 * epochs)


def test_a_resume_has_the_time_that_was_left(train: Callable[..., SimpleNamespace]) -> None:
    first = train(5., stop_at=5)  # in epoch 3, which begins again, and its time too; its first step moves nothing
    assert len(first.rates) == 5
    second = train(5., start=1e6, resume=True)
    assert (second.epochs, second.rates) == (6, pytest.approx([cosine(each) for each in (1, 1, 2, 3, 3, 4, 4, 5)]))
    assert 'of which 0.3 are over' in second.log
    third = train(5., start=2e6, resume=True)
    assert (third.epochs, third.rates) == (6, [])


def test_a_resume_cannot_change_to_or_from_a_budget(train: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    plain = {'default_hooks.param_scheduler': dict(type='ParamSchedulerHook')}
    train(5., stop_at=4)
    with pytest.raises(ResumeError, match='--resume without the time budget. The schedule of this run has followed'):
        train(5., resume=True, **plain)
    with pytest.raises(ResumeError, match='--resume with another schedule: train_cfg.max_epochs was 3 and is now 4'):
        train(5., resume=True, **{'train_cfg.max_epochs': 4})
    train(5., stop_at=4, work_dir=str(tmp_path / 'plain'), **plain)
    with pytest.raises(ResumeError, match='--resume with a time budget: the run had none up to iteration 4'):
        train(5., resume=True, work_dir=str(tmp_path / 'plain'))


def test_a_resume_within_an_epoch_moves_no_schedule_twice(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM comes in the first of two steps of epoch 2; the next one, the first of a process, moves nothing."""
    loops = {'train_cfg.type': 'CDTrainLoop', 'default_hooks.checkpoint.type': 'ResumableCheckpointHook'}
    budget = {'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1), 'param_scheduler': SCHEDULE,
              'optim_wrapper.optimizer.lr': 1., 'train_cfg.val_interval': 9, **loops}
    rates = []
    for start, resume in ((1000., False), (1e6, True)):
        clock = Clock(start, 5., 0., 0., None)
        monkeypatch.setattr(time_budget_hook, 'time', SimpleNamespace(monotonic=lambda clock=clock: clock.now))
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
    assert rates == pytest.approx([cosine(each) for each in (0, 0, 0, 1, 1, 1, 2, 3, 3, 4, 4, 5)])
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
    run = train(60., **{'train_cfg.type': 'EpochBasedTrainLoop'})
    assert (run.epochs, run.validations) == (1, 1)
    assert 'The training took 2.0 minutes, more than its budget of 1' in run.log


@pytest.mark.parametrize('minutes', [0, -1, math.nan, math.inf])
def test_a_budget_must_be_positive(minutes: float) -> None:
    with pytest.raises(ValueError, match='needs minutes > 0, but got'):
        time_budget_hook.TimeBudgetHook(minutes)
    with pytest.raises(SystemExit, match='error: --minutes .*: expected the time of a training in minutes, more than'):
        main(['train', 'recipes/cdmamba_v8_small_tiles', f'--minutes={minutes}'])


@pytest.mark.parametrize('config', ['recipes/cdmamba_v8_small_tiles', 'cdmamba_v8_small_levircd'])
def test_minutes_of_the_command_line(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr(train_command, 'build_runner', lambda cfg: built.append(cfg) or SimpleNamespace(train=int))
    main(['train', config, '--minutes', '30', '--cfg-options', 'default_hooks.param_scheduler.clock=cpu'])
    assert built[0].default_hooks.param_scheduler == dict(type='TimeBudgetHook', minutes=30)


@pytest.mark.parametrize(('config', 'reason'), [
    ('cdmamba_v8_levircd', 'ReduceOnPlateauLR, follows the score'),
    ('opencd/cdmamba_v8_levircd', 'counts no epochs .* max_iters=40000'),
])
def test_what_cannot_be_fitted_is_refused(config: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f'^--cpu-minutes 10: .*{reason}'):
        time_budget_hook.set_time_budget(Config.fromfile(find_config(config)), 10, 'cpu')


@pytest.mark.parametrize(('options', 'error', 'reason'), [
    ({'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4)}, TypeError,
     'train_cfg.type is IterBasedTrainLoop'),
    ({'param_scheduler': dict(type='ReduceOnPlateauLR', monitor='changed_F1')}, ValueError,
     'ReduceOnPlateauLR follows the score'),
])
def test_what_cannot_be_fitted_is_refused_by_the_hook(make_runner: Make, options: dict, error: type,
                                                      reason: str) -> None:
    runner = make_runner({'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=1), **options})
    with pytest.raises(error, match=reason):
        runner.train()
