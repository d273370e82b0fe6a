"""Hook that draws the loss and the scores of a run into its work dir."""
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ...visualization.curves import SCORES, draw_curves
from ..history import find_scalar_files, read_history

Curve = tuple[list[float], list[float]]


@HOOKS.register_module()
class CurvesHook(Hook):
    """Write ``curves.png`` after every validation and at the end of the training.

    The values are those that mmengine's LoggerHook and LocalVisBackend write to ``*/vis_data/scalars.json``, so that
    the curve of a resumed run begins where the run did.

    Args:
        monitor: Score whose best validation is marked.
        filename: Name of the picture in the work dir.
    """

    # After LoggerHook (BELOW_NORMAL), which writes the values, and before the guards (LOWEST), which may end the run.
    priority = 'LOW'

    def __init__(self, monitor: str = 'changed_F1', filename: str = 'curves.png') -> None:
        self.monitor = monitor
        self.filename = filename
        self._training = False

    def before_train(self, runner: Runner) -> None:
        """Draw from here on; a lone validation has no curve."""
        self._training = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the curves up to now."""
        if self._training:
            self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        """Draw the curves of the whole training and log the path of the picture."""
        self._draw(runner)
        self._training = False
        runner.logger.info(f'Loss and score curves: {Path(runner.work_dir) / self.filename}')

    @master_only
    def _draw(self, runner: Runner) -> None:
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        history = read_history(find_scalar_files(runner.work_dir))
        per_unit = len(runner.train_dataloader) if by_epoch else 1
        terms = dict.fromkeys(key for line in history.train for key in line if 'loss' in key)
        draw_curves(
            {name: _curve(history.train, name, 'iter', per_unit) for name in terms},
            {name: _curve(history.val, name, 'step', 1) for name in dict.fromkeys((self.monitor, *SCORES))},
            Path(runner.work_dir) / self.filename,
            monitor=self.monitor,
            unit='epoch' if by_epoch else 'iteration',
            title=Path(runner.work_dir).name)


def _curve(lines: list[dict[str, float]], name: str, position: str, per_unit: int) -> Curve:
    """Positions and values of one scalar, where it was logged."""
    known = [line for line in lines if name in line]
    return [line[position] / per_unit for line in known], [line[name] for line in known]
