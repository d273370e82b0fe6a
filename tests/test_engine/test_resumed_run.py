"""A training that is stopped anywhere and resumed ends with the weights of one that never stopped, bit by bit."""
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mamba_cd_plugin.engine.recovery import newest_checkpoint
from mamba_cd_plugin.engine.workers import end_workers

Make = Callable[..., Runner]
CHECKPOINT = {'type': 'ResumableCheckpointHook', 'interval': 1, 'max_keep_ckpts': 1, 'save_best': 'changed_F1',
              'rule': 'greater'}
PLATEAU = {'type': 'PlateauStoppingHook', 'monitor': 'changed_F1', 'rule': 'greater', 'patience': 3, 'min_delta': 0.}
HOOKS = [{'type': 'LoadedWeightsHook'}, {'type': 'ResumeHook'}, PLATEAU, {'type': 'NonFiniteLossGuardHook'},
         {'type': 'CollapseGuardHook', 'begin': 0, 'patience': 9}]
# Everything that draws numbers or remembers something: shuffling, augmentation, dropout, momentum, a schedule by
# iterations and one by the score.
RUN = {
    'default_hooks.checkpoint': {**CHECKPOINT, '_delete_': True},
    'default_hooks.sampler_seed': {'type': 'DistSamplerSeedHook'},
    'train_cfg': {'type': 'CDTrainLoop', 'max_epochs': 5, 'val_interval': 1, '_delete_': True},
    'train_dataloader.sampler.shuffle': True,
    'train_dataloader.dataset.sizes': [[32, 32]] * 6,
    'train_dataloader.dataset.noise': 20.,
    'val_cfg.type': 'CDValLoop',
    'model.decode_head.dropout_ratio': 0.5,
    'optim_wrapper.optimizer': {'type': 'Adam', 'lr': 0.01, '_delete_': True},
    'param_scheduler': [
        {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'begin': 0, 'end': 9},
        {'type': 'ReduceOnPlateauLR', 'monitor': 'changed_F1', 'rule': 'greater', 'factor': 0.5, 'patience': 0}],
}
SCORES = (0.3, 0.2, 0.4, 0.1, 0.3)  # of the validations: the rate falls after the second and the fourth


class Killed(BaseException):
    """Stands for the end of the process; no handler of mmengine catches it."""


class Kill(Hook):
    """Ends the run at one place, and gives every validation its score.

    Args:
        place: Method of a hook, and the iteration at which it is called.
    """

    priority = 'VERY_HIGH'

    def __init__(self, place: tuple[str, int] | None = None) -> None:
        self.place = place

    def _at(self, name: str, runner: Runner) -> None:
        if self.place == (name, runner.iter):
            raise Killed

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self._at('train', runner)

    def before_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self._at('val', runner)

    def after_val_epoch(self, runner: Runner, metrics: dict = None) -> None:
        if runner.iter:
            metrics['changed_F1'] = SCORES[runner.iter // 3 - 1]
        self._at('after val', runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._at('save', runner)


def run(make_runner: Make, work_dir: Path, place: tuple[str, int] | None = None, **options: Any) -> Runner:
    """Start a training, or go on with the one in the folder, up to a place."""
    resume = {}
    if work_dir.exists():
        newest = newest_checkpoint(work_dir)
        resume = {'resume': newest is not None, 'load_from': newest and str(newest)}
    runner = make_runner({**RUN, 'work_dir': str(work_dir), **resume, **options}, HOOKS)
    runner.register_hook(Kill(place))
    if place is None:
        runner.train()
    else:
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(Killed):
            runner.train()
        assert signal.getsignal(signal.SIGTERM) is handler
        end_workers()
    return runner


def end_of(work_dir: Path) -> dict[str, Any]:
    """What a finished run has come to."""
    newest = torch.load(newest_checkpoint(work_dir), weights_only=False)
    best = torch.load(work_dir / 'best_changed_F1.pth', weights_only=False)
    info = newest['message_hub']['runtime_info']
    return {'weights': newest['state_dict'], 'optimizer': newest['optimizer']['state'],
            'rate': newest['optimizer']['param_groups'][0]['lr'], 'best weights': best['state_dict'],
            'at': (newest['meta']['epoch'], newest['meta']['iter'], best['meta']['epoch']),
            'known': [info[key] for key in ('best_score', 'early_stopping', 'collapsed_in_a_row')]}


def assert_same(first: Any, second: Any, where: str = '') -> None:
    """Equal to the last bit."""
    assert type(first) is type(second), where
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f'{where}/{key}')
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second, where


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {'folder': tmp_path_factory.mktemp('whole')}


@pytest.fixture
def uninterrupted(make_runner: Make, whole: dict[str, Any]) -> dict[str, Any]:
    """The end of a run of 5 epochs of 3 iterations that was left alone."""
    if 'end' not in whole:
        run(make_runner, whole['folder'] / 'work')
        whole['end'] = end_of(whole['folder'] / 'work')
        assert whole['end']['at'] == (5, 15, 3) and whole['end']['known'][0] == 0.4
        assert whole['end']['rate'] == pytest.approx(0.01 / 4)
    return whole['end']


@pytest.mark.parametrize(('places', 'workers'), [
    ([('train', 1)], 0),  # before there is a checkpoint
    ([('train', 7)], 2),  # the uninterrupted run had none
    ([('save', 6)], 0),  # of epoch 2
    ([('val', 9), ('save', 9), ('after val', 9)], 0),  # epoch 3, which gives the best score; three times
    ([('train', 10), ('val', 12), ('val', 15)], 0),
], ids=str)
def test_stopped_anywhere(make_runner: Make, tmp_path: Path, uninterrupted: dict[str, Any], places: list,
                          workers: int) -> None:
    options = {'train_dataloader.num_workers': workers, 'train_dataloader.persistent_workers': bool(workers)}
    for place in places:
        run(make_runner, tmp_path / 'work', place, **options)
    run(make_runner, tmp_path / 'work', **options)
    assert_same(end_of(tmp_path / 'work'), uninterrupted)
    assert sorted(path.name for path in (tmp_path / 'work').glob('*.pth')) == ['best_changed_F1.pth', 'epoch_5.pth']


def test_a_moved_work_dir_leaves_the_old_one_alone(make_runner: Make, tmp_path: Path,
                                                   uninterrupted: dict[str, Any]) -> None:
    run(make_runner, tmp_path / 'old', ('train', 10))
    before = {path.name: path.read_bytes() for path in (tmp_path / 'old').glob('*.pth')}
    shutil.copytree(tmp_path / 'old', tmp_path / 'new')
    run(make_runner, tmp_path / 'new')
    assert_same(end_of(tmp_path / 'new'), uninterrupted)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / 'old').glob('*.pth')}


def test_a_new_training_in_the_folder_is_refused(make_runner: Make, tmp_path: Path) -> None:
    run(make_runner, tmp_path, ('train', 7), resume=False)
    before = (tmp_path / 'best_changed_F1.pth').read_bytes()
    runner = make_runner({**RUN, 'work_dir': str(tmp_path)}, HOOKS)
    with pytest.raises(FileExistsError, match='best_changed_F1.pth'):
        runner.train()
    assert (tmp_path / 'best_changed_F1.pth').read_bytes() == before


class SendSignal(Hook):
    """Sends SIGTERM to this process, as Slurm does, in the middle of an iteration or of a validation."""

    def __init__(self, stage: str, iteration: int) -> None:
        self.stage, self.iteration = stage, iteration

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if (self.stage, self.iteration) == ('train', runner.iter):
            os.kill(os.getpid(), signal.SIGTERM)

    def before_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if (self.stage, self.iteration) == ('val', runner.iter):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(('stage', 'iteration', 'newest'), [('train', 7, 'interrupted.pth'), ('val', 9, 'epoch_3.pth')])
def test_sigterm(make_runner: Make, tmp_path: Path, uninterrupted: dict[str, Any], stage: str, iteration: int,
                 newest: str) -> None:
    runner = make_runner({**RUN, 'work_dir': str(tmp_path / 'work')}, HOOKS)
    told = []
    runner.logger.warning = told.append
    for hook in (Kill(), SendSignal(stage, iteration)):
        runner.register_hook(hook)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        runner.train()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert ended.value.code == 143
    assert 'Stopped by SIGTERM' in told[-1] and 'Run the same command with --resume' in told[-1]
    assert newest_checkpoint(tmp_path / 'work').name == newest
    run(make_runner, tmp_path / 'work')
    assert_same(end_of(tmp_path / 'work'), uninterrupted)
    assert not (tmp_path / 'work/interrupted.pth').exists()


def tell_and_sleep(started: Any) -> None:
    started.send(True)
    time.sleep(60)


class StartProcess(Hook):
    """Forks a process that only sleeps, in the middle of the training, and ends it by SIGTERM, as a Pool does."""

    def __init__(self) -> None:
        self.exit_code: int | None = None

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        fork = multiprocessing.get_context('fork')
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=tell_and_sleep, args=(sender,), daemon=True)
        process.start()
        receiver.recv()  # Python forgets a signal that comes before the new process runs
        process.terminate()
        process.join(30)
        self.exit_code = process.exitcode
        process.kill()


def test_a_process_forked_from_a_training_ends_by_sigterm(make_runner: Make, tmp_path: Path) -> None:
    runner = make_runner({**RUN, 'work_dir': str(tmp_path / 'work'), 'train_cfg.max_epochs': 1}, HOOKS)
    start = StartProcess()
    for hook in (Kill(), start):
        runner.register_hook(hook)
    runner.train()
    assert start.exit_code == -signal.SIGTERM
