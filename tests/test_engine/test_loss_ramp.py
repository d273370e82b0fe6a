"""The weight of a loss that comes in by and by."""
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from mamba_cd_plugin.engine.hooks import LossRampHook


def runner(*names: str) -> Any:
    """All of a runner that the hook looks at: a head with these losses, of weight 2 each."""
    losses = nn.ModuleList()
    for name in names:
        loss = nn.Identity()
        loss.loss_name, loss.loss_weight = name, 2.
        losses.append(loss)
    model = nn.Module()
    model.decode_head = nn.Module()
    model.decode_head.loss_decode = losses
    return SimpleNamespace(model=model, iter=0)


def weights(run: Any, hook: LossRampHook, *iters: int) -> list:
    """The weights of all losses at these iterations."""
    found = []
    for run.iter in iters:
        hook.before_train_iter(run, 0)
        found.append([loss.loss_weight for loss in run.model.decode_head.loss_decode])
    return found


def test_the_weight_rises_to_the_configs_and_others_stay() -> None:
    run, hook = runner('loss_focal', 'loss_lovasz'), LossRampHook('loss_lovasz', iters=4)
    hook.before_train(run)
    assert weights(run, hook, 0, 1, 4, 9) == [[2., 0.], [2., .5], [2., 2.], [2., 2.]]


def test_it_starts_where_it_is_told_and_a_resumed_run_goes_on() -> None:
    run, hook = runner('loss_lovasz'), LossRampHook('loss_lovasz', iters=10, start=0.5)
    hook.before_train(run)
    assert weights(run, hook, 6, 0) == [[2 * 0.8], [2 * 0.5]]


def test_a_loss_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no loss 'loss_lovasz'; it has loss_swbce"):
        LossRampHook('loss_lovasz', iters=10).before_train(runner('loss_swbce'))
    with pytest.raises(ValueError, match=r'iters >= 1 and start in 0\.\.1'):
        LossRampHook('loss_lovasz', iters=0)
