"""Two processes that train together, started by ``dist_train.sh``: one is killed, or both are stopped by SIGTERM."""
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..engine.recovery import newest_checkpoint
from ..resources import tools_dir
from .processes import descendants, is_running
from .stops import CONFIG, SETTINGS

TO_BEGIN = 300.  # seconds for two starts of the stack on a busy machine
LIMIT = 60.  # seconds until the last of them has to have ended
FAULTS = ('one is killed', 'SIGTERM')
RESUME = 'Run the same command with --resume to continue'  # what a training says that SIGTERM stopped


class Ending(NamedTuple):
    """How processes that train together ended.

    Attributes:
        fault: One of ``FAULTS``.
        seconds: Time from the signal to the end of the last process.
        status: Exit status of the launcher.
        wrong: What did not hold, '' for nothing.
    """
    fault: str
    seconds: float
    status: int
    wrong: str


def end_together(data: Path, out: Path, fault: str) -> Ending:
    """Train with two processes on the CPU, and end them.

    Args:
        data: Folder of LEVIR layout, with six pairs to train on.
        out: Folder for the training and its output.
        fault: One of ``FAULTS``.

    Raises:
        RuntimeError: If the training does not begin.
    """
    work_dir, log = out / 'together', out / 'together.log'
    shutil.rmtree(work_dir, ignore_errors=True)
    command = ['bash', str(tools_dir() / 'dist_train.sh'), CONFIG, '2', '--work-dir', str(work_dir), '--cfg-options',
               f'data_root={data}', *SETTINGS, 'train_cfg.max_epochs=500']
    with log.open('w') as output:
        launcher = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                    env=dict(os.environ, PYTHON=sys.executable))
    family = [launcher.pid]
    try:
        _wait(lambda: launcher.poll() is None and 'Epoch(train)' not in log.read_text(errors='replace'), TO_BEGIN)
        said = log.read_text(errors='replace')
        if launcher.poll() is not None or 'Epoch(train)' not in said:
            raise RuntimeError(f'{" ".join(command)} did not begin to train:\n{said[-2000:]}')
        family += descendants(launcher.pid)
        start = time.monotonic()
        if fault == FAULTS[0]:
            os.kill(family[2], signal.SIGKILL)  # the second of the two
        else:
            launcher.terminate()
        ended = _wait(lambda: launcher.poll() is None or any(map(is_running, family)), LIMIT)
        seconds = time.monotonic() - start
    finally:
        if launcher.poll() is None:  # its processes have sessions of their own, and would go on without it
            with suppress(OSError):
                family += descendants(launcher.pid)
        for process in filter(is_running, family):
            os.kill(process, signal.SIGKILL)
        status = launcher.wait()
    wrong = [] if ended else [f'not all have ended within {LIMIT:.0f} s']
    wrong += [] if status else ['exit status 0']
    said = log.read_text(errors='replace')
    # Within a validation there is a checkpoint already, of the epoch before it.
    if fault == FAULTS[1] and (newest_checkpoint(work_dir) is None or RESUME not in said):
        wrong.append('no checkpoint, or no word of how to go on')
    return Ending(fault, seconds, status, ', '.join(wrong))


def _wait(goes_on: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is over; False if it still goes on after so many seconds."""
    end = time.monotonic() + seconds
    while goes_on():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
