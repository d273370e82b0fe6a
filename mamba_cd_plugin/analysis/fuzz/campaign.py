"""Many inputs of every kind, read by child processes; what went wrong is kept with its file."""
import faulthandler
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from .child import read_all
from .kinds import KINDS, Bench, write_seeds

SOURCES = ('bytes', 'drawn')
# A child is begun anew after so many inputs: what one of them may leave behind in memory is not the next one's.
PER_CHILD = 1000
MAX_KEPT = 20  # files of one kind with something wrong
STARTS = 5  # of children that end before the first input
FORK = multiprocessing.get_context('fork')


@dataclass
class Outcome:
    """What came of the inputs of a kind.

    Attributes:
        read: How many were read.
        refused: How many were refused with a message.
        wrong: What went wrong, and how often.
        slowest: Processor seconds of the slowest input.
        peak: Memory of the one that took the most, in bytes beyond what there was.
        kept: Files that went wrong.
    """
    read: int = 0
    refused: int = 0
    wrong: Counter = field(default_factory=Counter)
    slowest: float = 0.
    peak: int = 0
    kept: list[Path] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Inputs."""
        return self.read + self.refused


def make_seeds(folder: Path, exported: bool = True) -> None:
    """:func:`~.kinds.write_seeds` in a process of its own: what it starts would not survive the forks.

    Raises:
        RuntimeError: If that fails.
    """
    maker = FORK.Process(target=write_seeds, args=(folder, exported))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise RuntimeError(f'the valid files could not be written into {folder}; the reason is above')


def run_kind(bench: Bench, kind: str, count: int, seed: int, seconds: float, nice: int = 0) -> Outcome:
    """Let the readers of a kind read inputs: half of them damaged, half drawn by hypothesis.

    Args:
        bench: The valid files. What it loads is loaded here, once for all processes; torch must be set to one thread,
            since others would not survive the fork.
        kind: Name of the kind.
        count: How many inputs.
        seed: Random seed of everything that is drawn.
        seconds: Stop earlier after so long.
        nice: Priority of the children.

    Raises:
        RuntimeError: If a child does not get to its first input.
    """
    bench.warm_up()
    outcome = Outcome()
    until = time.monotonic() + seconds
    for number, source in enumerate(SOURCES):
        share = (count + 1 - number) // 2
        left, run, fruitless = share, 0, 0
        while left > 0 and time.monotonic() < until:
            done = _run_child(bench, kind, source, seed * 1000 + run, min(left, PER_CHILD), until, nice, outcome)
            run += 1
            left -= done
            fruitless = 0 if done else fruitless + 1
            if fruitless == STARTS:
                raise RuntimeError(f'{kind}: no child gets to its first input; see {bench.folder / "child.log"}')
    return outcome


def _run_child(bench: Bench, kind: str, source: str, seed: int, count: int, until: float, nice: int,
               outcome: Outcome) -> int:
    """Read inputs in a forked process, which has no need to import all over again; how many it got through."""
    receive, send = FORK.Pipe(duplex=False)
    folder, log = bench.folder, bench.folder / 'child.log'
    child = FORK.Process(target=_child, args=(bench, kind, source, seed, count, nice, log, send))
    child.start()
    send.close()
    done = 0
    try:
        while True:
            result = receive.recv()
            done += 1
            _count(folder, kind, result, outcome)
            if time.monotonic() > until:
                child.kill()
                return done
    except EOFError:  # it has ended
        child.join()
    finally:
        receive.close()
    if child.exitcode:
        end = signal.Signals(-child.exitcode).name if child.exitcode < 0 else (
            log.read_text(errors='replace').splitlines() or [''])[-1][:200]
        _keep(folder, kind, f'the process ended: {end}', outcome, folder / 'work' / f'input{KINDS[kind].suffix}')
        return done + 1
    return max(done, count) if source == 'drawn' else done  # hypothesis stops where it knows no further example


def _child(bench: Bench, kind: str, source: str, seed: int, count: int, nice: int, log: Path,
           send: Connection) -> None:
    os.nice(nice)
    with log.open('w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.disable()
    read_all(bench, kind, source, seed, count, send.send)
    send.close()
    sys.stderr.flush()
    os._exit(0)  # leaves out what libraries do at the end of the process that this one was forked from


def _count(folder: Path, kind: str, result: dict, outcome: Outcome) -> None:
    if result['outcome'] == 'read':
        outcome.read += 1
    else:
        outcome.refused += 1
    outcome.slowest = max(outcome.slowest, result['seconds'])
    outcome.peak = max(outcome.peak, result['peak'])
    if result['wrong']:
        _keep(folder, kind, result['wrong'], outcome, Path(result['file']))
        os.remove(result['file'])


def _keep(folder: Path, kind: str, wrong: str, outcome: Outcome, source: Path) -> None:
    """Count what went wrong by its words without numbers, and keep the file of its first appearance."""
    what = re.sub(r'\d+', 'N', wrong)
    outcome.wrong[what] += 1
    if outcome.wrong[what] == 1 and len(outcome.kept) < MAX_KEPT:
        target = folder / 'wrong' / f'{kind}_{len(outcome.kept)}{source.suffix}'
        target.parent.mkdir(exist_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
            target.with_suffix('.why').write_text(wrong)
            outcome.kept.append(target)
