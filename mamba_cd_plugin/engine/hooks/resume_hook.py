"""Hook that makes a resumed training continue as an uninterrupted one would."""
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..resume import Changes, check_resume, config_of_checkpoint, refit_schedule, warn_of_short_schedule


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

    def before_train(self, runner: Runner) -> None:
        """Put the learning rate where this config has it."""
        refit_schedule(runner, self._changes)
        warn_of_short_schedule(runner)
