"""The scalars of a run, read back from the files that mmengine's LocalVisBackend writes."""
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class History:
    """Logged values of one run, in order.

    Attributes:
        train: Lines of the training, each with ``iter`` (from 1) and the values logged there.
        val: Lines of the validations, each with ``step`` (the epoch, or the iteration without epochs).
    """
    train: list[dict[str, float]] = field(default_factory=list)
    val: list[dict[str, float]] = field(default_factory=list)


def find_scalar_files(work_dir: str | Path) -> list[Path]:
    """The scalar files of a work dir, oldest first; every start of a run, also a resume, makes a folder of its own."""
    return sorted(Path(work_dir).glob('*/vis_data/scalars.json'))


def read_history(files: Sequence[Path]) -> History:
    """Join the scalars of a run that was resumed once or more.

    A later file replaces everything from its first iteration on. So a resume continues the curve, without the part that
    was trained twice, and a new start in an old work dir begins a new one.

    Args:
        files: ``scalars.json`` files, oldest first.
    """
    history = History()
    for file in files:
        lines = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
        train = [line for line in lines if 'loss' in line]
        if not train:  # a test, or a run that ended before its first line
            continue
        start = train[0]
        val = [line for line in lines if 'loss' not in line and 'step' in line]
        history.train = [line for line in history.train if line['iter'] < start['iter']]
        # Validation lines carry no iteration. Of a resumed run none is from before its first training line.
        first_val = start.get('epoch', start['iter'])
        history.val = [line for line in history.val if line['step'] < first_val] + val
        history.train += train
    return history
