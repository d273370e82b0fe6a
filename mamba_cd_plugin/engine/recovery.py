"""Checkpoints from which a run that went wrong can go on."""
import os
import shutil
from pathlib import Path
from typing import Optional, Union

from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmengine.runner.checkpoint import find_latest_checkpoint

LAST_GOOD = 'last_good.pth'
# Key in mmengine's message hub, which travels with the checkpoints; mmengine's own are 'best_ckpt' and 'last_ckpt'.
LAST_GOOD_INFO = 'last_good_ckpt'


def copy_whole(source: Union[str, Path], target: Union[str, Path]) -> None:
    """Copy a file so that ``target`` is never half-written: a reader sees the old file or the new one.

    Not a link: mmengine rewrites checkpoints in place, which would reach through a hard link.

    Args:
        source: An existing file.
        target: Path of the copy, in an existing folder.
    """
    part = Path(f'{target}.part')
    shutil.copyfile(source, part)
    os.replace(part, target)


def newest_checkpoint(runner: Runner) -> Optional[Path]:
    """The last checkpoint that CheckpointHook completed in the work dir of this run, if it is still there."""
    if not (Path(runner.work_dir) / 'last_checkpoint').is_file():  # find_latest_checkpoint would print that
        return None
    newest = Path(find_latest_checkpoint(runner.work_dir))
    return newest if newest.is_file() else None


def keep_last_good(runner: Runner) -> None:
    """Copy the newest training checkpoint to ``last_good.pth``, which no rotation deletes."""
    newest = newest_checkpoint(runner)
    if newest is not None:
        target = Path(runner.work_dir) / LAST_GOOD
        if is_main_process():
            copy_whole(newest, target)
        runner.message_hub.update_info(LAST_GOOD_INFO, str(target))


def describe_last_good(runner: Runner, newest_is_good: bool) -> str:
    """One sentence for an error message: from which checkpoint to go on.

    Args:
        runner: The runner.
        newest_is_good: Whether even the newest checkpoint is from before the mishap.
    """
    kept = runner.message_hub.get_info(LAST_GOOD_INFO)
    path = newest_checkpoint(runner) if newest_is_good else None
    if path is None and kept is not None and Path(kept).is_file():
        path = kept
    if path is None:
        return 'There is no good checkpoint yet: start again.'
    best, score = (runner.message_hub.get_info(key) for key in ('best_ckpt', 'best_score'))
    named = f'; the best so far is {best}, with {score:.4f}' if best else ''
    return f'Last good checkpoint: {path} (--resume {path} goes on from it){named}.'
