"""EMAHook beside our hooks: the averaged weights are what is validated, kept, tested and resumed."""
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import MomentumAnnealingEMA
from mmengine.runner import Runner
from torch import nn

from mamba_cd_plugin.engine.averaged_weights import ForeachMomentumAnnealingEMA

Make = Callable[..., Runner]
EMA = {'type': 'EMAHook', 'ema_type': 'ForeachMomentumAnnealingEMA', 'momentum': 0.3, 'gamma': 2,
       'update_buffers': True}
HOOKS = [{'type': 'LoadedWeightsHook'}, {'type': 'ResumeHook'}, {'type': 'NonFiniteLossGuardHook'}]
# Steps so long that the raw weights jump from one validation to the next, and the averaged ones do not.
LEARNS = {'default_hooks.checkpoint.type': 'ResumableCheckpointHook',
          'train_cfg.max_epochs': 10, 'optim_wrapper.optimizer': {'type': 'Adam', 'lr': 0.05, '_delete_': True},
          'model.decode_head.threshold': 0.2,
          'model.data_preprocessor': {'type': 'PairDataPreProcessor', 'mean': [100.] * 3, 'std': [50.] * 3,
                                      'size': (32, 32), '_delete_': True},
          # The test is on the validation's pairs, in the same batches.
          'test_dataloader.batch_size': 2, 'test_dataloader.dataset.sizes': [[32, 32]] * 4}


class Scores(Hook):
    """Keeps every validation's scores, and the raw weights after it."""

    def __init__(self) -> None:
        self.scores: list[dict[str, float]] = []
        self.raw: dict[int, dict] = {}

    def after_val_epoch(self, runner: Runner, metrics: dict = None) -> None:
        self.scores.append(dict(metrics))
        self.raw[runner.epoch] = {name: value.clone() for name, value in runner.model.state_dict().items()}


def train(runner: Runner) -> Scores:
    scores = Scores()
    runner.register_hook(scores, 'LOWEST')
    runner.train()
    return scores


def test_the_best_checkpoint_holds_the_weights_that_were_validated(make_runner: Make) -> None:
    runner = make_runner(LEARNS, [*HOOKS, EMA])
    seen = train(runner)
    best = Path(runner.work_dir) / 'best_changed_F1.pth'
    checkpoint = torch.load(best, weights_only=False)
    values = [score['changed_F1'] for score in seen.scores]
    assert checkpoint['meta']['epoch'] == values.index(max(values)) + 1 and max(values) > 0.5
    raw = seen.raw[checkpoint['meta']['epoch']]['backbone.first.weight']
    assert not torch.equal(checkpoint['state_dict']['backbone.first.weight'], raw)
    # The raw ones are under the other key, as EMAHook leaves them.
    assert torch.equal(checkpoint['ema_state_dict']['module.backbone.first.weight'], raw)
    for hooks in ([*HOOKS, EMA], HOOKS):  # with the training's config, and with one that knows of no average
        assert make_runner({**LEARNS, 'load_from': str(best)}, hooks).test() == pytest.approx(max(
            seen.scores, key=lambda score: score['changed_F1']))


def test_the_average_goes_on_after_a_resume(make_runner: Make, tmp_path: Path) -> None:
    whole = make_runner({**LEARNS, 'work_dir': str(tmp_path / 'whole')}, [*HOOKS, EMA])
    train(whole)
    halves = {'work_dir': str(tmp_path / 'halves')}
    make_runner({**LEARNS, **halves, 'train_cfg.max_epochs': 4}, [*HOOKS, EMA]).train()
    make_runner({**LEARNS, **halves, 'resume': True}, [*HOOKS, EMA]).train()
    ends = [torch.load(tmp_path / name / 'epoch_10.pth', weights_only=False) for name in ('whole', 'halves')]
    for key in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(value, ends[1][key][name]) for name, value in ends[0][key].items())
    assert not torch.equal(ends[0]['state_dict']['backbone.first.weight'],
                           ends[0]['ema_state_dict']['module.backbone.first.weight'])


@pytest.mark.parametrize('options', [dict(update_buffers=True), dict(update_buffers=False, interval=2)])
def test_all_at_once_averages_as_mmengine_does(options: dict) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    averages = [kind(model, momentum=0.3, gamma=2, **options)
                for kind in (MomentumAnnealingEMA, ForeachMomentumAnnealingEMA)]
    for _ in range(7):
        model(torch.randn(5, 3) * 9)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        for average in averages:
            average.update_parameters(model)
    for (name, expected), actual in zip(averages[0].state_dict().items(), averages[1].state_dict().values()):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6, msg=name)
    assert not torch.equal(averages[1].module[0].weight, model[0].weight)
