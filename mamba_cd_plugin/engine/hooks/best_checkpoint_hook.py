"""Hook that keeps the best checkpoint under a name that does not change."""
import re
from pathlib import Path
from typing import Dict, Optional

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..recovery import copy_whole


@HOOKS.register_module()
class BestCheckpointHook(Hook):
    """Copy the best checkpoint of mmengine's CheckpointHook to ``best_<key>.pth`` in the work dir.

    CheckpointHook names it after its epoch, ``best_changed_F1_epoch_12.pth``, and deletes the one before. A command in
    a README, or a script that tests many runs, needs a name that is known beforehand.

    CheckpointHook must save the best by one key (``save_best='changed_F1'``); the choice itself is left to it.
    """

    # After CheckpointHook (VERY_LOW, 90), which writes the file, and before the hooks that may stop the run (LOWEST).
    priority = 95

    def before_train(self, runner: Runner) -> None:
        """Also after a resume the copy is there, even if it was lost or the checkpoint came from elsewhere."""
        self._copy(runner)

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Copy the best checkpoint if this validation made a new one."""
        self._copy(runner)

    @master_only
    def _copy(self, runner: Runner) -> None:
        best = runner.message_hub.get_info('best_ckpt')
        if best is None or not Path(best).is_file():
            return
        target = Path(runner.work_dir) / constant_name(best)
        # By time and size, not by a memory of the last copy: a resumed run has none.
        new, old = Path(best).stat(), target.stat() if target.exists() else None
        if old is None or old.st_mtime < new.st_mtime or old.st_size != new.st_size:
            copy_whole(best, target)
            runner.logger.info(f'{Path(best).name} is also {target}')


def constant_name(best: str) -> str:
    """``work_dir/best_changed_F1_epoch_12.pth`` -> ``best_changed_F1.pth``."""
    return re.sub(r'_(epoch|iter)_\d+\.pth$', '.pth', Path(best).name)
