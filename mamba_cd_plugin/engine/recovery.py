"""Checkpoints in a work dir: the newest, and the last good one to resume from after a failure."""
import re
import shutil
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from ..io.files import whole_file

LAST_GOOD = 'last_good.pth'
# Key in mmengine's message hub, which travels with the checkpoints; mmengine's own is 'best_score'.
LAST_GOOD_INFO = 'last_good_ckpt'
# Of a run that SIGTERM ended within an epoch.
INTERRUPTED = 'interrupted.pth'
# mmengine's names of training checkpoints, and the file in which it notes the newest.
_TRAINING = re.compile(r'(?:epoch|iter)_(\d+)\.pth')
POINTER = 'last_checkpoint'


def newest_checkpoint(work_dir: str | Path) -> Path | None:
    """The newest training checkpoint in a work dir, or None.

    mmengine notes an absolute path, which points back to the old folder once the work dir is moved or copied. So only
    its name counts; where that is not there, the highest number does.
    """
    folder = Path(work_dir)
    pointer = folder / POINTER
    if pointer.is_file():
        noted = folder / Path(pointer.read_text().strip()).name
        if noted.is_file():
            return noted
    numbered = [(int(match.group(1)), path) for path in folder.glob('*.pth')
                for match in [_TRAINING.fullmatch(path.name)] if match]
    return max(numbered)[1] if numbered else None


def checkpoint_to_resume(work_dir: str | Path, named: str = 'auto') -> str | None:
    """The checkpoint that ``--resume`` resumes from.

    Args:
        work_dir: Folder of the run.
        named: A checkpoint, or 'auto' for the newest of the work dir; None is returned where that holds none yet, so
            that one command serves the first start and every later one.

    Raises:
        FileNotFoundError: If the named one does not exist.
    """
    if named != 'auto':
        if not Path(named).is_file():
            found = newest_checkpoint(work_dir)
            raise FileNotFoundError(f'--resume {named}: there is no such file; the newest checkpoint in {work_dir} is '
                                    f'{found.name if found else "none"}. --resume alone resumes from it.')
        return named
    newest = newest_checkpoint(work_dir)
    return None if newest is None else str(newest)


def clear_leftovers(folder: str | Path) -> None:
    """Delete the parts of checkpoints that a killed run was writing in a folder."""
    for part in Path(folder).glob('.*.part*'):
        part.unlink()


def choose_start(cfg: Config, resume: str | None = None) -> None:
    """Let a training resume from a checkpoint, or start in a folder without checkpoints.

    Args:
        cfg: The config, with its ``work_dir``; ``resume`` and ``load_from`` are set in it.
        resume: A checkpoint, 'auto' for the newest of the work dir, or None for what the config says.

    Raises:
        FileNotFoundError: If the named checkpoint does not exist.
        FileExistsError: If a new training would overwrite the checkpoints of another.
    """
    resume = resume or (cfg.get('load_from') or 'auto' if cfg.get('resume') else None)
    checkpoint = checkpoint_to_resume(cfg.work_dir, resume) if resume else None
    cfg.resume = checkpoint is not None
    if cfg.resume:
        cfg.load_from = checkpoint
    else:
        refuse_used_work_dir(cfg.work_dir)


def refuse_used_work_dir(work_dir: str | Path) -> None:
    """Refuse to start a new training in a folder with the checkpoints of another.

    Raises:
        FileExistsError: Naming them, and what to do.
    """
    held = sorted(path.name for path in Path(work_dir).glob('*.pth') if not path.name.startswith('.'))
    if held:
        shown = ', '.join(held[:4]) + (f' and {len(held) - 4} more' if len(held) > 4 else '')
        raise FileExistsError(
            f'{work_dir} already holds checkpoints of an earlier run ({shown}), which a new training would overwrite. '
            'Add --resume to continue that run, choose another --work-dir, or move the folder away.')


def keep_last_good(runner: Runner) -> None:
    """Copy the newest training checkpoint to ``last_good.pth``, which no rotation deletes."""
    newest = newest_checkpoint(runner.work_dir)
    if newest is not None:
        target = Path(runner.work_dir) / LAST_GOOD
        if is_main_process():
            with whole_file(target) as part:  # a link would reach into a file that mmengine's own hook rewrites
                shutil.copyfile(newest, part)
        runner.message_hub.update_info(LAST_GOOD_INFO, LAST_GOOD)


def describe_last_good(runner: Runner, newest_is_good: bool) -> str:
    """One sentence for an error message: from which checkpoint to resume.

    Args:
        runner: The runner.
        newest_is_good: Whether even the newest checkpoint is from before the failure.
    """
    folder = Path(runner.work_dir)
    path = newest_checkpoint(folder) if newest_is_good else None
    kept = runner.message_hub.get_info(LAST_GOOD_INFO)
    if path is None and kept is not None and (folder / Path(kept).name).is_file():
        path = folder / Path(kept).name
    if path is None:
        return 'There is no good checkpoint yet: start again.'
    best, score = (runner.message_hub.get_info(key) for key in ('best_ckpt', 'best_score'))
    named = f'; the best so far is {folder / Path(best).name}, with {score:.4f}' if best else ''
    return f'Last good checkpoint: {path} (resume from it by --resume {path}){named}.'
