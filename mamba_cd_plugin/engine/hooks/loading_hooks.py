"""Hooks that see to it that weights are those meant: a checkpoint's that a run loads, and those that are validated."""
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..config_text import parse_config_text
from ..optim_constructor import regroup_checkpoint
from ..resume import Changes, check_resume, config_of_checkpoint, refit_schedule, warn_of_other_length
from ..weights import OtherWeightsError, fit_weights, weights_of


@HOOKS.register_module()
class LoadedWeightsHook(Hook):
    """Check every checkpoint that a runner loads, which mmengine itself loads with a warning whatever it holds.

    A test, a validation and a resumed training need just the weights of their model: a score belongs to the model that
    it names. A training that begins from other weights (``load_from``) says how much of them it takes, and stops where
    that is next to nothing, since a typing error in the path or in a width would otherwise cost the whole run.

    Args:
        min_share: Least share of the model's numbers that ``load_from`` must provide. The default accepts what helps:
            an encoder alone is more than half of every model here, and a tenth is less than any one of its stages.

    Raises:
        OtherWeightsError: Naming what differs.
    """

    # Before EMAHook (NORMAL), which loads the checkpoint into its copy of the model.
    priority = 'HIGH'

    def __init__(self, min_share: float = 0.1) -> None:
        if not 0 <= min_share <= 1:
            raise ValueError(f'LoadedWeightsHook.min_share is a share in 0..1, got {min_share}')
        self.min_share = min_share

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the weights with the model before any is copied."""
        fit = fit_weights(runner.model, weights_of(checkpoint))
        # Only train() builds it. A resumed run needs all weights, one that starts from others takes what fits.
        fine_tunes = isinstance(runner.optim_wrapper, OptimWrapper) and not runner.cfg.get('resume')
        if not fine_tunes and not fit.complete:
            raise OtherWeightsError(
                f'The checkpoint does not belong to the model of this config: of its weights {fit.difference()}. '
                'Name the config that it was trained with (it lies in its work dir), or the checkpoint of this config.')
        if not fine_tunes:
            self._compare_thresholds(runner, checkpoint)
        if fine_tunes:
            taken = f'{len(fit.taken)} weights were taken, {fit.share:.1%} of the numbers in the model'
            if fit.share < self.min_share:
                raise OtherWeightsError(
                    f'Hardly anything of load_from = {runner.cfg.get("load_from")} fits the model: {taken}, expected '
                    f'at least {self.min_share:.0%}. Of the rest {fit.difference()}. Check the path and the widths of '
                    'the model, or leave load_from out.')
            rest = '' if fit.complete else f'; of the rest {fit.difference()}'
            runner.logger.info(f'load_from {runner.cfg.get("load_from")}: {taken}{rest}')

    def _compare_thresholds(self, runner: Runner, checkpoint: dict) -> None:
        """Warn if published weights have a threshold of their own, which prediction uses and this run does not."""
        meta = checkpoint.get('meta') or {}
        if not meta.get('calibration'):
            return
        source = f'checkpoint {runner.cfg.get("load_from")}'
        published = (parse_config_text(str(meta.get('cfg')), source).get('model') or {}).get('decode_head') or {}
        model = runner.cfg.get('model') or {}
        own = model.get('module', model).get('decode_head') or {}  # the averaging over flips wraps a model
        if published.get('threshold') not in (None, own.get('threshold')):
            runner.logger.warning(
                f'{source} was published with a threshold of {published.get("threshold")}, which `mamba-cd predict` '
                f'uses; the config has {own.get("threshold")}. To score what is predicted: --cfg-options '
                f'model.decode_head.threshold={published.get("threshold")}')


@HOOKS.register_module()
class ResumeHook(Hook):
    """Compare the config with that of the checkpoint, and fit the schedule to a training that was made longer.

    Raises:
        ResumeError: If settings differ that a resumed training cannot take over.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._changes: Changes = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse settings that a resume would ignore, before anything is restored."""
        if runner.cfg.get('resume'):
            self._changes = check_resume(runner, config_of_checkpoint(checkpoint))
            if 'optimizer' in checkpoint and isinstance(runner.optim_wrapper, OptimWrapper):
                regroup_checkpoint(checkpoint, runner.optim_wrapper.optimizer, runner.model)

    def before_train(self, runner: Runner) -> None:
        """Put the learning rate where this config has it."""
        refit_schedule(runner, self._changes)
        warn_of_other_length(runner)


@HOOKS.register_module()
class SharedBuffersHook(Hook):
    """Let all processes validate the model that the checkpoint holds: with the first process's buffers.

    Between processes mmengine exchanges gradients, no buffers: the running statistics of BatchNorm, and averages of
    them, are each process's own, of the pairs that it has seen. A score would be that of several models, of which the
    checkpoint holds one.
    """

    # After EMAHook (NORMAL), which puts the averaged weights and buffers into the model.
    priority = 'BELOW_NORMAL'

    def before_val_epoch(self, runner: Runner) -> None:
        """Take over the buffers of the first process."""
        for buffer in runner.model.buffers():
            broadcast(buffer.data)
