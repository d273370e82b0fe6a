"""Training and testing the trials of an ablation, each in a subprocess, so that one crash does not end the others."""
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log

from .plan import Outcome, Trial, read_outcome, read_scores, write_config, write_outcome

MIB = 2**20
# The last line of a Python traceback: the exception's name, with its modules, at the start of a line.
EXCEPTION = re.compile(r'(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b.*')

# In place of an error, for a process that was ended, or not started, because the tool is being stopped.
STOPPED = 'stopped'


class Ended(NamedTuple):
    """Result of a subprocess.

    Attributes:
        error: its last line of output, or None if it succeeded.
        peak_bytes: peak resident memory, without that of the data workers.
        cpu_seconds: time that the cores worked for it, the data workers included.
    """
    error: str | None
    peak_bytes: int
    cpu_seconds: float = 0.


class Subprocesses:
    """Runs commands from several threads and can stop them all.

    Args:
        environment: variables that the commands get besides those of this process.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self._running: set[subprocess.Popen] = set()
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
        return Ended(error, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)

    def stop(self) -> None:
        """Terminate running commands with their data workers, and start no others."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                os.killpg(process.pid, signal.SIGTERM)


def last_words(lines: list[str], status: int) -> str:
    """The line of a process's output that says why it failed.

    Args:
        lines: Output of the process.
        status: Exit status; negative, as Python gives it, for a signal.

    Returns:
        The last exception, since further lines of its message only explain it; else the last line that is not empty.
    """
    if status < 0:
        return f'killed by signal {-status}' + ('; out of memory?' if status == -9 else '')
    said = [line.strip() for line in lines if line.strip()]
    exceptions = [line for line in said if EXCEPTION.match(line)]
    return (exceptions or said or [f'exit status {status} without output'])[-1]


def run_all(trials: Sequence[Trial], tools: Path, jobs: int = 1, pictures: bool = False) -> list[Outcome]:
    """Train and test all trials that are not finished.

    Several single-threaded trainings at once get more done than one after the other on all cores, since much of a
    step does not use them all.

    Args:
        trials: trials to run, in this order.
        tools: folder with train.py and test.py.
        jobs: number of trials at once. With more than one, each gets its share of the cores; one alone is left torch's
            own number of threads, or OMP_NUM_THREADS.
        pictures: whether the tests draw their pairs and write their masks.

    Returns:
        What became of each trial, in the same order.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    threads = str(max(1, cores // jobs))
    subprocesses = Subprocesses(dict(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads) if jobs > 1 else None)
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(carry_out, trial, tools, subprocesses, pictures, f'[{number}/{len(trials)}]')
                   for number, trial in enumerate(trials, 1)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures]
        finally:  # Ctrl-C, too: the trainings must not go on alone
            subprocesses.stop()
            pool.shutdown(wait=True, cancel_futures=True)


def carry_out(trial: Trial, tools: Path, subprocesses: Subprocesses, pictures: bool = False,
              label: str = '') -> Outcome:
    """Train and test one trial, resuming an earlier call; a failed trial is retried.

    Args:
        trial: trial to train.
        tools: folder with train.py and test.py.
        subprocesses: run them.
        pictures: whether the test draws its pairs and writes its masks.
        label: prefix of messages.
    """
    outcome = read_outcome(trial)
    if outcome.status == 'done':
        print_log(f'{label} {trial.title}: finished earlier')
        return outcome
    write_config(trial)
    error = None
    print_log(f'{label} {trial.title}: {describe_start(trial, outcome)}')
    if not outcome.trained:
        error = _train(trial, tools, subprocesses, outcome)
    if error is None:
        error = _test(trial, tools, subprocesses, outcome, pictures)
    if error == STOPPED:
        return outcome
    outcome.error = error or ''
    outcome.status = 'failed' if error else 'done'
    write_outcome(trial, outcome)
    print_log(f'{label} {trial.title}: {_describe(outcome)}')
    return outcome


def describe_start(trial: Trial, outcome: Outcome) -> str:
    """The next step of an unfinished trial."""
    newest = trial.newest_checkpoint
    if outcome.trained:
        return 'testing'
    return f'training, resumed from {newest.name}' if newest else 'training'


def _train(trial: Trial, tools: Path, subprocesses: Subprocesses, outcome: Outcome) -> str | None:
    command = [sys.executable, str(tools / 'train.py'), str(trial.config_file), '--work-dir', str(trial.folder)]
    start = time.monotonic()
    ended = subprocesses.run([*command, '--resume'] if trial.newest_checkpoint else command, trial.folder / 'train.log')
    outcome.seconds += time.monotonic() - start
    outcome.cpu_seconds += ended.cpu_seconds
    outcome.peak_mib = max(outcome.peak_mib, ended.peak_bytes / MIB)
    outcome.epochs = trial.epochs
    outcome.trained = ended.error is None
    if outcome.trained:
        outcome.steps = trial.steps
    write_outcome(trial, outcome)
    return ended.error


def _test(trial: Trial, tools: Path, subprocesses: Subprocesses, outcome: Outcome, pictures: bool) -> str | None:
    checkpoint = trial.best_checkpoint
    if checkpoint is None:
        return 'the training ended without a checkpoint; is default_hooks.checkpoint of the config switched off?'
    command = [sys.executable, str(tools / 'test.py'), str(trial.config_file), str(checkpoint), '--work-dir',
               str(trial.folder / 'test')]
    if pictures:
        command += ['--show-dir', str(trial.folder / 'pictures'), '--out', str(trial.masks)]
    error = subprocesses.run(command, trial.folder / 'test.log').error
    if error is not None:
        return error
    outcome.scores = read_scores(trial.folder / 'test')
    return None if outcome.scores else 'the test wrote no metrics; are default_hooks.logger and test_evaluator on?'


def _describe(outcome: Outcome) -> str:
    if outcome.error:
        return f'failed: {outcome.error}'
    scores = '; '.join(f'F1 {100 * values["changed_F1"]:.2f} %{f" on {protocol}" if protocol else ""}'
                       for protocol, values in outcome.scores.items() if 'changed_F1' in values)
    return f'{outcome.epochs} epochs in {outcome.seconds / 60:.1f} minutes, {scores or "no changed_F1"}'
