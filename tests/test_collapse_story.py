"""V4's story: a run whose loss has lost the term that finds change predicts 0 everywhere; V4's settings do not."""
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mamba_cd_plugin.engine.hooks import CollapsedPredictionError

EPOCHS, LR = 30, 3e-3  # of two iterations each; of a narrow model, which needs larger steps


@pytest.fixture
def make_runner(narrow_config: Callable[[str], Config]) -> Callable[..., Runner]:
    """A runner of a version, judged by its own guard from the first of three validations on."""

    def make(name: str, **options: float) -> Runner:
        cfg = narrow_config(name)
        cfg.merge_from_dict(options)
        cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS // 3)
        cfg.default_hooks.checkpoint.interval = EPOCHS // 3
        cfg.optim_wrapper.optimizer.lr = LR
        next(hook for hook in cfg.custom_hooks if hook.type == 'CollapseGuardHook').begin = 0
        return Runner.from_cfg(cfg)

    return make


def test_a_collapse_is_stopped_with_the_right_diagnosis(make_runner: Callable[..., Runner]) -> None:
    runner = make_runner('cdmamba_v3_levircd.py', **{'model.decode_head.loss_decode.lovasz.loss_weight': 1e-5})
    with pytest.raises(CollapsedPredictionError) as error:
        runner.train()
    text = str(error.value)
    assert 'every one of 2,048 pixels was predicted as unchanged' in text
    assert 'Likely cause, loss weights' in text and 'loss_lovasz contributes almost nothing: raise' in text
    assert 'Not the cause, labels' in text
    assert 'There is no good checkpoint' in text


def test_v4_does_not_collapse_on_the_same_data(make_runner: Callable[..., Runner]) -> None:
    runner = make_runner('cdmamba_v4_levircd.py')
    runner.train()
    assert runner.epoch == EPOCHS and (Path(runner.work_dir) / 'last_good.pth').is_file()
    assert runner.message_hub.get_scalar('val/changed_F1').current() > 0.5
