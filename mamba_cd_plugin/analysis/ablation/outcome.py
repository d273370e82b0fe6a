"""What became of a run, kept in its folder."""
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict

from ...io.files import whole_file
from .plan import Run

FILENAME = 'outcome.json'
# Scores by protocol, such as {'tiles256': {'changed_F1': 0.8}}; '' where the test loop has no protocols.
Scores = Dict[str, Dict[str, float]]


@dataclass
class Outcome:
    """State of a run.

    Attributes:
        status: 'new', 'done' or 'failed'.
        trained: whether the training has ended, whatever became of the test.
        error: why it failed.
        seconds: wall-clock time of the training, its starts included; all attempts together.
        epochs: that were trained.
        peak_mib: peak memory of the training process, without its data workers.
        scores: of the test, as fractions.
    """
    status: str = 'new'
    trained: bool = False
    error: str = ''
    seconds: float = 0.
    epochs: int = 0
    peak_mib: float = 0.
    scores: Scores = field(default_factory=dict)


def read_outcome(run: Run) -> Outcome:
    """The state in which an earlier call left the run, or a new one."""
    path = run.folder / FILENAME
    return Outcome(**json.loads(path.read_text())) if path.is_file() else Outcome()


def write_outcome(run: Run, outcome: Outcome) -> None:
    """Replace the state of the run as a whole, never half."""
    with whole_file(run.folder / FILENAME) as part:
        part.write_text(json.dumps(asdict(outcome), indent=2))


def read_scores(folder: Path) -> Scores:
    """The metrics of the newest test in a work dir, where mmengine's LoggerHook writes them; empty without any."""
    files = sorted(folder.glob('*/*.json'))
    scores: Scores = {}
    for key, value in json.loads(files[-1].read_text()).items() if files else ():
        protocol, _, name = key.rpartition('/')
        if name not in ('time', 'data_time'):  # mmengine's, of a batch
            scores.setdefault(protocol, {})[name] = value
    return scores
