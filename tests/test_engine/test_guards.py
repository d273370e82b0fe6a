"""The guards, on states made for them."""
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mamba_cd_plugin.engine.diagnosis import count_labels, gradient_norms
from mamba_cd_plugin.engine.hooks import (
    CollapsedPredictionError,
    CollapseGuardHook,
    NonFiniteLossError,
)

Make = Callable[..., Runner]
GUARD = {'type': 'CollapseGuardHook', 'begin': 0, 'patience': 2}
NONFINITE = {'type': 'NonFiniteLossGuardHook'}


class Collapse(Hook):
    """Sets the last layer so that the model predicts one class before some epochs' validations and both before others'.

    Args:
        logit: Answer of the collapsed model everywhere.
        sound: Epochs after which the model predicts both classes.
    """

    def __init__(self, logit: float = -9., sound: Sequence[int] = ()) -> None:
        self.logit = logit
        self.sound = sound

    def before_train(self, runner: Runner) -> None:
        self._set(runner, torch.zeros(8), self.logit)

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch + 1 in self.sound:
            # The brightest pixels of these features are changed, the others are not.
            self._set(runner, torch.full((8, ), 1.), -self._middle(runner))
        else:
            self._set(runner, torch.zeros(8), self.logit)

    def _set(self, runner: Runner, weight: torch.Tensor, bias: float) -> None:
        runner.model.decode_head.conv_seg.weight.data.copy_(weight.view(1, 8, 1, 1))
        runner.model.decode_head.conv_seg.bias.data.fill_(bias)

    @torch.no_grad()
    def _middle(self, runner: Runner) -> float:
        features = runner.model.backbone(runner.train_dataloader.dataset[0]['inputs'][None])[0].sum(dim=1)
        return float(features.mean())


def run_into_collapse(runner: Runner, **kwargs) -> str:
    """Train until the guard stops the run; its message."""
    runner.register_hook(Collapse(**kwargs), 'HIGHEST')
    with pytest.raises(CollapsedPredictionError) as error:
        runner.train()
    return str(error.value)


@pytest.mark.parametrize(('logit', 'word'), [(-9., 'unchanged'), (9., 'changed')])
def test_collapse_stops_the_run(make_runner: Make, logit: float, word: str) -> None:
    runner = make_runner(hooks=[GUARD])
    text = run_into_collapse(runner, logit=logit)
    assert runner.epoch == 2  # patience
    assert f'every one of 4,096 pixels was predicted as {word}.' in text
    assert 'There is no good checkpoint' in text


def test_collapse_by_labels_that_are_all_0(make_runner: Make) -> None:
    text = run_into_collapse(make_runner({'train_dataloader.dataset.label': 0}, hooks=[GUARD]))
    assert 'Likely cause, labels: 0 of 8,192 labelled training pixels are changed, 0 are ignored' in text


def test_collapse_by_unmapped_labels(make_runner: Make) -> None:
    text = run_into_collapse(make_runner({'train_dataloader.dataset.label': 'unmapped'}, hooks=[GUARD]))
    # Two epochs of four pairs, each with a square of 8 x 8.
    assert 'Likely cause, labels: 0 of 7,680 labelled training pixels are changed, 512 are ignored' in text
    assert 'map 255 to 1' in text


def test_collapse_by_a_loss_weight_of_0(make_runner: Make) -> None:
    text = run_into_collapse(make_runner({'model.decode_head.loss_decode.loss_weight': 0.}, hooks=[GUARD]))
    assert 'Likely cause, loss weights: gradient norms on the last batch: decode.loss_bce 0' in text


def test_collapse_by_a_rate_that_is_too_low(make_runner: Make) -> None:
    text = run_into_collapse(
        make_runner({'train_cfg.max_epochs': 9, 'optim_wrapper.optimizer.lr': 1e-12}, hooks=[{**GUARD, 'patience': 8}]))
    assert 'Likely cause, learning rate too low: lr 1e-12' in text


def test_young_models_are_not_judged(make_runner: Make) -> None:
    runner = make_runner(hooks=[{**GUARD, 'begin': 7}])  # the run has three epochs of two iterations
    runner.register_hook(Collapse(), 'HIGHEST')
    runner.train()
    assert runner.epoch == 3


def test_one_class_is_right_where_the_truth_has_one(make_runner: Make) -> None:
    runner = make_runner({'val_dataloader.dataset.label': 0}, hooks=[GUARD])
    runner.register_hook(Collapse(), 'HIGHEST')
    runner.train()
    assert runner.epoch == 3


def test_the_last_good_checkpoint_is_kept_and_named(make_runner: Make) -> None:
    runner = make_runner({'train_cfg.max_epochs': 6}, hooks=[GUARD])
    text = run_into_collapse(runner, sound=[1, 2])
    assert runner.epoch == 4
    work_dir = Path(runner.work_dir)
    assert not (work_dir / 'epoch_2.pth').exists()  # max_keep_ckpts=1 has deleted it
    kept = torch.load(work_dir / 'last_good.pth', weights_only=False)
    assert kept['meta']['epoch'] == 2
    assert 'optimizer' in kept
    assert f'Last good checkpoint: {work_dir / "last_good.pth"}' in text
    assert f'the best so far is {runner.message_hub.get_info("best_ckpt")}' in text
    assert not list(work_dir.glob('*.part'))


def test_a_sound_validation_in_between_starts_the_count_again(make_runner: Make) -> None:
    runner = make_runner({'train_cfg.max_epochs': 6}, hooks=[GUARD])
    runner.register_hook(Collapse(sound=[2, 4, 6]), 'HIGHEST')
    runner.train()
    assert runner.epoch == 6


@pytest.mark.parametrize(('kappa', 'warned'), [(0.004, True), (-0.004, True), (0.3, False)])
def test_predictions_no_better_than_chance_are_said(make_runner: Make, kappa: float, warned: bool) -> None:

    class Score(Hook):

        def after_val_epoch(self, runner: Runner, metrics: dict = None) -> None:
            metrics['Kappa'] = kappa

    told = []
    runner = make_runner({'train_cfg.max_epochs': 1}, hooks=[GUARD])
    runner.logger.warning = told.append
    for hook in (Score(), Collapse(sound=[1])):
        runner.register_hook(hook, 'HIGHEST')
    runner.train()
    assert any(f'Kappa is {kappa:.4f}: these predictions' in line for line in told) == warned


def test_validation_alone_is_not_judged(make_runner: Make) -> None:
    runner = make_runner({'default_hooks.checkpoint.save_best': None}, hooks=[{**GUARD, 'patience': 1}])
    Collapse().before_train(runner)
    assert runner.val()['changed_F1'] == 0


@pytest.mark.parametrize('options', [{'begin': -1}, {'patience': 0}])
def test_bad_options(options: dict) -> None:
    with pytest.raises(ValueError, match='begin=.*patience='):
        CollapseGuardHook(**options)


def test_gradient_of_each_term(make_runner: Make) -> None:
    losses = [{'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'loss_name': f'loss_{name}', 'loss_weight': weight}
              for name, weight in (('one', 1.), ('three', 3.), ('none', 0.))]
    runner = make_runner({'model.decode_head.loss_decode': losses})
    norms = gradient_norms(runner.model, next(iter(runner.train_dataloader)))
    assert norms['decode.loss_one'] > 0
    assert norms['decode.loss_three'] == pytest.approx(3 * norms['decode.loss_one'], rel=1e-5)
    assert norms['decode.loss_none'] == 0
    assert all(parameter.grad is None for parameter in runner.model.parameters())


def test_labels_are_counted(make_runner: Make) -> None:
    batch = next(iter(make_runner().train_dataloader))
    batch['data_samples'][0].gt_sem_seg.data[0, 0, :5] = 255
    unchanged, changed, ignored = count_labels(batch)
    assert (unchanged + changed, ignored) == (2 * 32 * 32 - 5, 5)
    assert changed == 2 * 8 * 8


def test_nonfinite_loss_stops_a_run_that_logs_none(make_runner: Make) -> None:
    runner = make_runner({'train_dataloader.dataset.spoilt': 2, 'default_hooks.runtime_info': None}, hooks=[NONFINITE])
    with pytest.raises(NonFiniteLossError, match='Non-finite loss in iteration 2, epoch 1: decode.loss_bce = nan'):
        runner.train()


def test_nonfinite_loss_stops_at_once(make_runner: Make) -> None:
    """The third pair is spoilt: the second iteration fails, before anything was saved."""
    runner = make_runner({'train_dataloader.dataset.spoilt': 2}, hooks=[NONFINITE])
    with pytest.raises(NonFiniteLossError) as error:
        runner.train()
    text = str(error.value)
    assert 'Non-finite loss in iteration 2, epoch 1: decode.loss_bce = nan' in text
    assert 'Learning rate 1e-06, mixed precision off' in text
    assert 'Images of this batch: train/A/pair_2.png, train/A/pair_3.png' in text
    assert 'Likely cause, images: NaN or infinite pixels in train/A/pair_2.png' in text
    assert 'There is no good checkpoint yet' in text
    assert not list(Path(runner.work_dir).glob('*.pth'))


def test_nonfinite_loss_names_the_term_and_the_checkpoint(make_runner: Make) -> None:

    class Poison(Hook):

        def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict = None) -> None:
            if runner.epoch == 1:
                runner.model.decode_head.loss_decode[1].loss_weight = float('inf')

    losses = [{'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'loss_name': f'loss_{name}'} for name in 'ab']
    runner = make_runner({'model.decode_head.loss_decode': losses}, hooks=[NONFINITE])
    runner.register_hook(Poison())
    with pytest.raises(NonFiniteLossError, match=r'decode\.loss_b = inf \(decode\.loss_a = 0\.') as error:
        runner.train()
    checkpoint = Path(runner.work_dir) / 'epoch_1.pth'
    assert f'Last good checkpoint: {checkpoint}' in str(error.value)
    assert checkpoint.exists()


def test_mixed_precision_is_named(make_runner: Make) -> None:
    class Scaler:

        def get_scale(self) -> float:
            return 1024.

    runner = make_runner({'train_dataloader.dataset.spoilt': 0}, hooks=[NONFINITE])
    runner.call_hook('before_run')
    runner.register_hook(type('AddScaler', (Hook, ), {
        'before_train': lambda self, runner: setattr(runner.optim_wrapper, 'loss_scaler', Scaler())})())
    with pytest.raises(NonFiniteLossError, match='mixed precision on, loss scale 1024'):
        runner.train()


@pytest.mark.parametrize('max_keep_ckpts', [1, -1])
def test_spoilt_weights_are_never_saved(make_runner: Make, max_keep_ckpts: int) -> None:

    class Spoil(Hook):
        """The loss of the last iteration is finite, the weights after it are not."""

        def after_train_iter(self, runner: Runner, batch_idx: int, **kwargs) -> None:
            if runner.iter == 3:
                runner.model.backbone.first.weight.data[0, 0, 0, 0] = float('nan')

    runner = make_runner({'default_hooks.checkpoint.max_keep_ckpts': max_keep_ckpts}, hooks=[NONFINITE])
    runner.register_hook(Spoil())
    with pytest.raises(NonFiniteLossError, match=r'1 of 6 weights.*backbone\.first\.weight.*epoch_1\.pth'):
        runner.train()
    assert (Path(runner.work_dir) / 'epoch_1.pth').exists()
    assert not (Path(runner.work_dir) / 'epoch_2.pth').exists()
