"""Best checkpoint, curves and early stopping over a run that is interrupted and resumed."""
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import mmcv
import pytest
import torch
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import Runner

from mamba_cd_plugin.engine.history import find_scalar_files, read_history
from mamba_cd_plugin.engine.hooks import PlateauStoppingHook, ResumableCheckpointHook

Make = Callable[..., Runner]
BEST = {'default_hooks.checkpoint.type': 'ResumableCheckpointHook'}
CURVES = {'type': 'CurvesHook'}


class Scores(Hook):
    """Replaces the F1 of each validation by a given one, before any other hook sees it."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def after_val_epoch(self, runner: Runner, metrics: dict = None) -> None:
        metrics['changed_F1'] = self.scores[runner.epoch - 1]


def train(runner: Runner, *scores: float) -> Runner:
    """Train with these validation scores."""
    runner.register_hook(Scores(*scores), 'HIGHEST')
    runner.train()
    return runner


def epoch_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=False)['meta']['epoch']


def test_best_checkpoint_has_a_constant_name(make_runner: Make) -> None:
    work_dir = Path(train(make_runner(BEST), 0.2, 0.6, 0.4).work_dir)
    assert epoch_of(work_dir / 'best_changed_F1.pth') == 2
    assert sorted(path.name for path in work_dir.glob('*.pth')) == ['best_changed_F1.pth', 'epoch_3.pth']
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_3.pth')


@pytest.mark.parametrize(('later', 'expected'), [((0.3, 0.5), 2), ((0.3, 0.7), 4)])
def test_best_checkpoint_over_a_resume(make_runner: Make, later: tuple, expected: int) -> None:
    earlier = (0.2, 0.6)
    work_dir = Path(train(make_runner({**BEST, 'train_cfg.max_epochs': 2}), *earlier).work_dir)
    train(make_runner({**BEST, 'train_cfg.max_epochs': 4, 'resume': True}), *earlier, *later)
    assert epoch_of(work_dir / 'best_changed_F1.pth') == expected


def test_best_of_two_scores_and_of_one_that_is_not_given(make_runner: Make) -> None:
    told = []
    runner = make_runner({**BEST, 'default_hooks.checkpoint.save_best': ['changed_F1', 'mIoU']})
    runner.logger.warning = told.append
    work_dir = Path(train(runner, 0.2, 0.6, 0.4).work_dir)
    assert epoch_of(work_dir / 'best_changed_F1.pth') == 2 and not (work_dir / 'best_mIoU.pth').exists()
    assert any('This validation gives no mIoU' in line for line in told)
    with pytest.raises(ValueError, match="save_best = 'auto'"):
        ResumableCheckpointHook(save_best='auto')


def test_curves_are_drawn(make_runner: Make) -> None:
    runner = train(make_runner(hooks=[CURVES]), 0.2, 0.6, 0.4)
    picture = mmcv.imread(str(Path(runner.work_dir) / 'curves.png'))
    assert picture.shape[0] > 600 and picture.shape[1] > 900
    assert picture.min() == 0 and picture.max() == 255


def test_curves_over_a_resume_begin_where_the_run_did(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr('mamba_cd_plugin.engine.hooks.curves_hook.draw_curves',
                        lambda losses, scores, *args, **kwargs: drawn.append((losses, scores, kwargs)))
    train(make_runner({'train_cfg.max_epochs': 2}, [CURVES]), 0.2, 0.6)
    train(make_runner({'train_cfg.max_epochs': 3, 'resume': True}, [CURVES]), 0.2, 0.6, 0.4)
    losses, scores, kwargs = drawn[-1]
    assert losses['loss'][0] == [0.5, 1., 1.5, 2., 2.5, 3.]  # two iterations an epoch
    assert losses['loss'][1] == losses['decode.loss_bce'][1]
    assert scores['changed_F1'] == ([1, 2, 3], [0.2, 0.6, 0.4])
    assert kwargs['unit'] == 'epoch'


def test_validation_alone_draws_nothing(make_runner: Make) -> None:
    runner = make_runner({'default_hooks.checkpoint.save_best': None}, hooks=[CURVES])
    runner.val()
    assert not (Path(runner.work_dir) / 'curves.png').exists()


def write_scalars(work_dir: Path, name: str, lines: list[dict]) -> None:
    file = work_dir / name / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(json.dumps(line) for line in lines))


def test_history_drops_what_was_trained_twice(tmp_path: Path) -> None:
    """Interrupted in epoch 3 and resumed from the end of epoch 2; a test in between; the file names sort by time."""
    step = {'loss': 1., 'lr': 1e-4}
    write_scalars(tmp_path, '20260101_120000', [
        {**step, 'epoch': 1, 'iter': 10}, {'changed_F1': 0.1, 'step': 1},
        {**step, 'epoch': 2, 'iter': 20}, {'changed_F1': 0.2, 'step': 2}, {**step, 'epoch': 3, 'iter': 25}])
    write_scalars(tmp_path, '20260101_130000', [{'whole/changed_F1': 0.5, 'step': 0}])
    write_scalars(tmp_path, '20260101_140000', [{**step, 'epoch': 3, 'iter': 25, 'loss': 3.},
                                                {**step, 'epoch': 3, 'iter': 30}, {'changed_F1': 0.3, 'step': 3}])
    history = read_history(find_scalar_files(tmp_path))
    assert [line['iter'] for line in history.train] == [10, 20, 25, 30]
    assert history.train[2]['loss'] == 3.
    assert [(line['step'], line['changed_F1']) for line in history.val] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_history_of_a_new_start_forgets_the_old_run(tmp_path: Path) -> None:
    for name, loss in (('20260101_120000', 1.), ('20260102_120000', 2.)):
        write_scalars(tmp_path, name, [{'loss': loss, 'epoch': 1, 'iter': 1}, {'changed_F1': loss / 10, 'step': 1}])
    history = read_history(find_scalar_files(tmp_path))
    assert [line['loss'] for line in history.train] == [2.]
    assert [line['changed_F1'] for line in history.val] == [0.2]


def stopping(kind: str, patience: int) -> dict:
    return {'type': kind, 'monitor': 'changed_F1', 'rule': 'greater', 'patience': patience, 'min_delta': 0.}


@pytest.mark.parametrize('kind', ['EarlyStoppingHook', 'PlateauStoppingHook'])
def test_stops_on_a_plateau_of_our_key(make_runner: Make, kind: str) -> None:
    runner = make_runner({'train_cfg.max_epochs': 6}, [stopping(kind, 2)])
    assert train(runner, 0.2, 0.6, 0.5, 0.4, 0.9, 0.9).epoch == 4


def test_stopping_counts_on_after_a_resume(make_runner: Make) -> None:
    hooks = [stopping('PlateauStoppingHook', 3)]
    scores = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
    train(make_runner({**BEST, 'train_cfg.max_epochs': 3}, hooks), *scores)
    # Two waits in the first three epochs, the third in the fourth.
    assert train(make_runner({**BEST, 'train_cfg.max_epochs': 6, 'resume': True}, hooks), *scores).epoch == 4
    # It has stopped already.
    assert train(make_runner({**BEST, 'train_cfg.max_epochs': 6, 'resume': True}, hooks), *scores).epoch == 4


def test_stopping_does_not_build_the_training_of_a_test(make_runner: Make) -> None:
    """mmengine's own hook does, which is why there is another; when that is mended, ours can go."""
    options = {'train_dataloader.dataset.type': 'NoSuchDataset'}
    make_runner(options, [stopping('PlateauStoppingHook', 3)]).test()
    with pytest.raises(KeyError, match='NoSuchDataset'):
        make_runner(options, [stopping('EarlyStoppingHook', 3)]).test()
    assert issubclass(PlateauStoppingHook, EarlyStoppingHook)


def test_the_hooks_of_a_run_leave_a_test_alone(make_runner: Make) -> None:
    """What tools/test.py does with a training config whose training data are elsewhere."""
    hooks = [CURVES, stopping('PlateauStoppingHook', 3), {'type': 'EmptyCacheHook'},
             {'type': 'NonFiniteLossGuardHook'}, {'type': 'CollapseGuardHook'}]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        metrics = make_runner({**BEST, 'train_dataloader.dataset.type': 'NoSuchDataset'}, hooks).test()
    assert 'changed_F1' in metrics
