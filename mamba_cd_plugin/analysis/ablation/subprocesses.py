"""Subprocesses of an ablation: each logs to a file, and none outlives the tool that started it."""
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

# How Python ends a traceback: the exception's name, with its modules, at the start of a line.
EXCEPTION = re.compile(r'(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b.*')

# In place of an error, for a process that was ended, or not started, because the tool is being stopped.
STOPPED = 'stopped'


class Ended(NamedTuple):
    """How a subprocess ended.

    Attributes:
        error: what it said last, or None if it succeeded.
        peak_bytes: its peak resident memory, without that of its data workers.
    """
    error: Optional[str]
    peak_bytes: int


class Subprocesses:
    """Runs commands, several at once from several threads, and can stop them all.

    Args:
        environment: variables that the commands get besides those of this process.
    """

    def __init__(self, environment: Optional[Dict[str, str]] = None) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self._running: Set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, command: Sequence[str], log: Path) -> Ended:
        """Run a command to its end.

        Args:
            command: program and arguments.
            log: file to which everything it says is appended.
        """
        with log.open('a') as file:
            start = file.seek(0, os.SEEK_END)
            with self._lock:
                if self._stopped:
                    return Ended(STOPPED, 0)
                # A session of its own: Ctrl-C reaches this process alone, which then ends the others as stopped.
                process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=self._environment,
                                           start_new_session=True)
                self._running.add(process)
            # The account of this very child. A child starts with the mark of the process that it was forked from, but
            # a training needs more than this one.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            with self._lock:
                self._running.discard(process)
        error = None
        if self._stopped:
            error = STOPPED
        elif process.returncode:
            error = last_words(log.read_bytes()[start:].decode(errors='replace').splitlines(), process.returncode)
        return Ended(error, usage.ru_maxrss * 1024)

    def stop(self) -> None:
        """End those that run, with their data workers, and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                os.killpg(process.pid, signal.SIGTERM)


def last_words(lines: List[str], status: int) -> str:
    """The line that says why a process failed.

    Args:
        lines: of its output.
        status: its exit status; negative, as Python gives it, for a signal.

    Returns:
        The last exception, since further lines of its message only explain it; else the last line that is not empty.
    """
    if status < 0:
        return f'killed by signal {-status}' + ('; out of memory?' if status == -9 else '')
    said = [line.strip() for line in lines if line.strip()]
    exceptions = [line for line in said if EXCEPTION.match(line)]
    return (exceptions or said or [f'exit status {status} without a word'])[-1]
