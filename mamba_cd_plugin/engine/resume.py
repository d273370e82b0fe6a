"""Settings that a resumed training may change, and the adjustment of its learning rate."""
import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import ConfigDict
from mmengine.runner import EpochBasedTrainLoop, Runner

from .config_text import parse_config_text

# A resumed optimizer takes these from the checkpoint, so that a change in the config would have no effect.
OPTIMIZER_KEYS = ('optim_wrapper.optimizer', 'optim_wrapper.paramwise_cfg', 'auto_scale_lr')
SCHEDULE_KEYS = ('param_scheduler', 'train_cfg.max_epochs', 'train_cfg.max_iters')
# A change here makes another experiment, which may be what the user wants: said, not refused.
EXPERIMENT_KEYS = ('model', 'train_dataloader', 'randomness', 'optim_wrapper')
# Where things lie and how many processes read them is no part of the experiment.
FREE_ENDINGS = ('data_root', 'num_workers', 'persistent_workers', 'pin_memory', 'scan_backend')

Changes = dict[str, tuple[Any, Any]]


class ResumeError(ValueError):
    """A training cannot resume from a checkpoint with this config."""


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """Every plain value that differs between two configs, by its dotted key: before and now."""
    flat = [dict(_flat(cfg)) for cfg in (before, now)]
    return {key: (flat[0].get(key, 'not set'), flat[1].get(key, 'not set')) for key in {**flat[0], **flat[1]}
            if flat[0].get(key) != flat[1].get(key)}


def config_of_checkpoint(checkpoint: Mapping[str, Any]) -> ConfigDict | None:
    """The config in a training checkpoint, read as data; None if it has none that can be read so."""
    text = (checkpoint.get('meta') or {}).get('cfg')
    try:
        return parse_config_text(text, 'the checkpoint') if isinstance(text, str) else None
    except ValueError:
        return None


def check_resume(runner: Runner, before: ConfigDict | None) -> Changes:
    """Compare the config of a run with the one that it resumes.

    Args:
        runner: The runner that is going to load the checkpoint.
        before: The config in the checkpoint, or None.

    Returns:
        What was changed of the schedule and of the length of the training.

    Raises:
        ResumeError: If settings of the optimizer differ, which would be ignored; or the schedule of a training that is
            fitted into a time.
    """
    if before is None:
        runner.logger.warning('The checkpoint holds no readable config, so that nothing can be said about what has '
                              'changed since; its optimizer and its schedule are used as they are.')
        return {}
    changed = changed_settings(before, runner.cfg.to_dict())
    optimizer = _below(changed, OPTIMIZER_KEYS)
    if not any((cfg.get('auto_scale_lr') or {}).get('enable') for cfg in (before, runner.cfg)):  # it scales nothing
        optimizer = {key: value for key, value in optimizer.items() if not key.startswith('auto_scale_lr')}
    if optimizer:
        raise ResumeError(
            f'--resume with another optimizer: {describe_changes(optimizer)}. A resumed optimizer keeps the values of '
            'its checkpoint, so that this change would have no effect. Set it back, or begin a new training from these '
            'weights: --cfg-options load_from=CHECKPOINT with another --work-dir.')
    others = {key: value for key, value in _below(changed, EXPERIMENT_KEYS).items() if not key.endswith(FREE_ENDINGS)}
    if others:
        runner.logger.warning(f'Changed since the checkpoint was written: {describe_changes(others)}')
    schedule = _below(changed, SCHEDULE_KEYS)
    _check_time_budget(before, runner.cfg, schedule)
    return schedule


def _check_time_budget(before: Mapping[str, Any], now: Mapping[str, Any], schedule: Changes) -> None:
    """Refuse what would move a schedule elsewhere than the clock has moved it; another budget is its hook's matter."""
    had, has = (((cfg.get('default_hooks') or {}).get('param_scheduler') or {}).get('type') == 'TimeBudgetHook'
                for cfg in (before, now))
    if had and (schedule or not has):
        what = f'with another schedule: {describe_changes(schedule)}' if has else 'without the time budget'
        raise ResumeError(
            f'--resume {what}. The schedule of this run has followed the clock (`--minutes`, TimeBudgetHook). Set it '
            'back, or begin a new training from these weights: --cfg-options load_from=CHECKPOINT with another '
            '--work-dir.')


def refit_schedule(runner: Runner, changes: Changes) -> None:
    """Set the learning rate to that of this config's schedule after the completed steps.

    mmengine restores the schedulers of the checkpoint with the old length in them. A cosine that had come down to
    nothing would stay there for every epoch that is added. Schedulers that follow the score cannot be replayed: they
    only learn the new end.

    Args:
        runner: The runner, with its checkpoint loaded.
        changes: Output of :func:`check_resume`.

    Raises:
        ResumeError: If the schedule was changed and cannot be replayed.
    """
    schedulers, cfgs = runner.param_schedulers, copy.deepcopy(runner.cfg.get('param_scheduler'))
    if not schedulers or not cfgs or not changes:
        return
    if isinstance(schedulers, dict) or any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers):
        _extend(runner, schedulers, cfgs, _below(changes, ('param_scheduler', )))
        return
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that schedulers are stepped without their optimizer, which is the point
        for scheduler in schedulers:
            for group in scheduler.optimizer.param_groups:
                group[scheduler.param_name] = group[f'initial_{scheduler.param_name}']
        runner.param_schedulers = runner.build_param_scheduler(cfgs)
        _replay(runner.param_schedulers, runner.iter, runner.epoch)
    rates = runner.optim_wrapper.get_lr()['lr']
    runner.logger.info(f'{describe_changes(changes)}: the schedule is replayed with these settings, and the learning '
                       f'rate after iteration {runner.iter} is {max(rates):.3g}')


def warn_of_other_length(runner: Runner) -> None:
    """Warn if a schedule in epochs is not as long as the training, as it is when only max_epochs was changed."""
    if not isinstance(runner.train_loop, EpochBasedTrainLoop):
        return
    cfgs = runner.cfg.get('param_scheduler') or []
    for number, cfg in enumerate(cfgs if isinstance(cfgs, (list, tuple)) else [cfgs]):
        end = cfg.get('begin', 0) + (cfg.get('T_max') or 0)
        if not cfg.get('T_max') or not cfg.get('by_epoch', True) or end == runner.max_epochs:
            continue
        what = 'the last epochs have another rate than meant' if end < runner.max_epochs else \
            'the rate is cut off before it has come down'
        runner.logger.warning(f'The schedule {cfg["type"]} ends after epoch {end}, the training after epoch '
                              f'{runner.max_epochs}: {what}. Set param_scheduler.{number}.T_max as well.')


def _extend(runner: Runner, schedulers: Any, cfgs: Any, changes: Changes) -> None:
    if changes:
        raise ResumeError(
            f'--resume with another schedule: {describe_changes(changes)}. A schedule that follows the score cannot be '
            'replayed. Set it back, or begin a new training from these weights: --cfg-options load_from=CHECKPOINT '
            'with another --work-dir.')
    if isinstance(schedulers, dict):
        return
    for scheduler, cfg in zip(schedulers, cfgs if isinstance(cfgs, (list, tuple)) else [cfgs]):
        if 'end' not in cfg and getattr(scheduler, 'need_val_args', False):
            scheduler.end = runner.max_epochs if scheduler.by_epoch else runner.max_iters


def _replay(schedulers: list[Any], iters: int, epochs: int) -> None:
    per_epoch = iters // epochs if epochs else 0
    for done in range(1, iters + 1):
        for scheduler in schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
        if per_epoch and done % per_epoch == 0 and done // per_epoch <= epochs:
            for scheduler in schedulers:
                if scheduler.by_epoch:
                    scheduler.step()


def describe_changes(changes: Changes, shown: int = 4) -> str:
    """The first of the changes, in words."""
    parts = [f'{key} was {before} and is now {now}' for key, (before, now) in list(changes.items())[:shown]]
    return ', '.join(parts) + (f', and {len(changes) - shown} more' if len(changes) > shown else '')


def _below(changes: Changes, keys: tuple[str, ...]) -> Changes:
    return {key: value for key, value in changes.items()
            if any(key == above or key.startswith(f'{above}.') for above in keys)}


def _flat(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """The plain values of nested dicts and lists, by dotted keys."""
    if not isinstance(node, (dict, list, tuple)) or not node:
        yield prefix, node
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _flat(value, f'{prefix}.{key}' if prefix else str(key))
