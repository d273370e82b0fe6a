"""Ctrl-C at moments of a command: how long it takes to end, what it says, and whether any of its processes stays."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .disks import last_line
from .processes import cpu_seconds, group_is_running
from .stops import CONFIG, PATIENCE, SETTINGS

IMPORTS = 'while libraries are imported'
START = 'while workers start'
WORK = 'at work'
LONGEST = 3.  # seconds between the begin of the work and the signal
GOAL = 2.  # seconds


class Interruptible(NamedTuple):
    """A command that runs long enough to be interrupted.

    Attributes:
        words: The command.
        begun: A text of its output, or a glob in its folder ``out``, that is there once it works.
        out: Its folder, which is deleted before each start; its own work starts anew each time.
        starts: A text of its output after which it starts workers; '' where that takes no time of its own.
    """
    words: Sequence[str]
    begun: str
    out: Path
    starts: str = ''


class Interruption(NamedTuple):
    """How a command ended.

    Attributes:
        moment: When the signal came.
        seconds: Time from the signal to the end of the last process.
        cpu: Processor seconds of the command itself meanwhile: on a busy machine these are what can be compared.
        status: Exit status.
        wrong: What did not hold, '' for nothing; the log is kept then.
        last_words: Last line of its output.
    """
    moment: str
    seconds: float
    cpu: float
    status: int
    wrong: str
    last_words: str


def commands(data: Path, out: Path) -> dict[str, Interruptible]:
    """The commands by name.

    Args:
        data: Holds ``scenes`` (LEVIR layout) and ``town`` (two GeoTIFFs of the same size).
        out: Folder for their results.
    """
    options = ['--cfg-options', f'data_root={data}/scenes', *SETTINGS, 'train_cfg.max_epochs=500']
    town = [str(data / 'town' / f'town_{year}.tif') for year in (2019, 2023)]
    weights = ['--checkpoint', 'cdmamba_v8_small']
    mosaic = ['mosaic', '--before', town[0], '--after', town[1], *weights, '--block', '512', '--out']
    return {
        'train': Interruptible(['train', CONFIG, '--work-dir', str(out / 'train'), *options], 'Epoch(train)',
                               out / 'train'),
        'test': Interruptible(['test', CONFIG, 'cdmamba_v8_small', '--work-dir', str(out / 'test'), '--cfg-options',
                               f'data_root={data}/scenes'], 'Epoch(test)', out / 'test'),
        'predict': Interruptible(['predict', *town, *weights, '--out', str(out / 'predict')], '.*.partial/state.json',
                                 out / 'predict'),
        'mosaic': Interruptible([*mosaic, str(out / 'mosaic')], 'logs/*.log', out / 'mosaic'),
        'mosaic --workers 2': Interruptible([*mosaic, str(out / 'workers'), '--workers', '2'], 'logs/*.log',
                                            out / 'workers', 'blocks: '),
    }


def interrupt_often(command: Interruptible, times: int, seed: int, log: Path) -> Iterator[Interruption]:
    """Start a command again and again and interrupt it: once while libraries are imported, once while it starts workers
    if it does, else while it works.

    Args:
        command: The command.
        times: How often.
        seed: Random seed of the moments.
        log: File for its output.
    """
    draw = random.Random(seed)
    for number in range(times):
        shutil.rmtree(command.out, ignore_errors=True)
        delay = draw.uniform(0., LONGEST)
        if number == 0:
            yield _interrupt(command, IMPORTS, lambda: True, 1., log)
        elif number == 1 and command.starts:
            yield _interrupt(command, START, lambda: command.starts in log.read_text(errors='replace'), delay, log)
        else:
            yield _interrupt(command, WORK, lambda: _has_begun(command, log), delay, log)


def _has_begun(command: Interruptible, log: Path) -> bool:
    return command.begun in log.read_text(errors='replace') or any(command.out.glob(command.begun))


def _interrupt(command: Interruptible, moment: str, begun: Callable[[], bool], delay: float,
               log: Path) -> Interruption:
    with log.open('w') as file:
        process = subprocess.Popen([sys.executable, '-m', 'mamba_cd_plugin', *command.words], stdout=file,
                                   stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_hear_signals)
    try:
        end = time.monotonic() + PATIENCE
        while not begun() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(delay)
        if process.poll() is not None:
            return Interruption(moment, 0., 0., process.returncode, 'ended before the signal',
                                last_line(log.read_text(errors='replace')))
        before, start = cpu_seconds(process.pid), time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > start + PATIENCE:  # it has not heard the signal
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)
        cpu = cpu_seconds(process.pid) - before
        status = process.wait()
        while group_is_running(process.pid) and time.monotonic() < start + PATIENCE:
            time.sleep(0.01)
        seconds = time.monotonic() - start
        wrong, said = [], log.read_text(errors='replace')
        if status not in (1, -signal.SIGINT):
            wrong.append(f'exit status {status}')
        if 'Traceback (most recent call last)' in said:
            wrong.append('a traceback')
        if group_is_running(process.pid):
            wrong.append('a process is left')
        if wrong:
            shutil.copyfile(log, log.with_name(f'wrong_{time.time_ns()}.log'))
        return Interruption(moment, seconds, cpu, status, ', '.join(wrong), last_line(said))
    finally:
        if group_is_running(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _hear_signals() -> None:
    """Undo what shells do to commands in the background: they are made deaf to SIGINT, and so would be their own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
