"""Hook that stops a training whose score does not improve any more."""
from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

# Key in mmengine's message hub, which travels with the checkpoints.
STOPPING_STATE = 'early_stopping'


@HOOKS.register_module()
class PlateauStoppingHook(EarlyStoppingHook):
    """mmengine's EarlyStoppingHook with two faults mended; same arguments.

    mmengine's asks for the training loop at the start of every run, also of a test, and asking builds it: a test would
    read the training data, and fail where there are none. And it forgets on a resume how long it has waited, so that a
    run that is interrupted often never stops.
    """

    # Before ResumableCheckpointHook (LOWEST), which saves the count.
    priority = 95

    def before_run(self, runner: Runner) -> None:
        """Do nothing here: the training loop is built later, see before_train."""

    def before_train(self, runner: Runner) -> None:
        """Check the training loop, and take up the count of the run that is resumed."""
        super().before_run(runner)
        state = runner.message_hub.get_info(STOPPING_STATE)
        if state is not None:
            self.best_score, self.wait_count = state['best_score'], state['wait_count']
            if self.wait_count >= self.patience:
                runner.train_loop.stop_training = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Decide, and note the count where the next checkpoint takes it along."""
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(STOPPING_STATE, {'best_score': self.best_score, 'wait_count': self.wait_count})
