"""The checkpoints that a run has left in its folder."""
import re
from pathlib import Path
from typing import Optional

from .plan import Run


def newest_checkpoint(run: Run) -> Optional[Path]:
    """The last one that mmengine's CheckpointHook completed."""
    pointer = run.folder / 'last_checkpoint'
    # By its name only: the folder may have been moved since.
    path = run.folder / Path(pointer.read_text().strip()).name if pointer.is_file() else None
    return path if path is not None and path.is_file() else None


def epochs_trained(run: Run) -> int:
    """Epochs by the name of the newest checkpoint; 0 where there is none, or it counts iterations."""
    path = newest_checkpoint(run)
    epoch = re.fullmatch(r'epoch_(\d+)', path.stem) if path else None
    return int(epoch.group(1)) if epoch else 0


def checkpoint_to_test(run: Run) -> Optional[Path]:
    """The best checkpoint of the validations under its constant name, else the newest."""
    best = sorted(path for path in run.folder.glob('best_*.pth') if not re.search(r'_(epoch|iter)_\d+$', path.stem))
    return best[0] if best else newest_checkpoint(run)
