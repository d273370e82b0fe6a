"""What the process does that reads the inputs, with little time and memory for each; :mod:`.campaign` starts it.

The file that is being read lies in its folder: whatever ends the process, ends it over that file.
"""
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..machine import resident
from .kinds import KINDS, Bench, Kind

# What an input may take. Processor time, since a busy machine lengthens no loop; the other is for a process that waits.
CPU_SECONDS, WALL_SECONDS = 10, 120
# Beyond what the process had: the machine is not starved by what gets past every check.
ADDRESS_SPACE = 4 << 30
# Besides Kind.peak.
PEAK_PER_BYTE = 1100  # zlib gives 1,032 bytes for one at most (its technical details)
MEMORY = re.compile(r'bad_alloc|Allocator|Unable to allocate|alloc(ate)? memory')
# Events of Python's audit hooks that a file of data has no reason to cause.
FORBIDDEN = ('os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen', 'socket.connect',
             'socket.getaddrinfo', 'os.remove', 'os.rename', 'shutil.rmtree', 'ctypes.dlopen')
# What the commands turn into one line; everything else would end with a traceback.
EXPECTED = (ValueError, OSError, ImportError)


def read_all(bench: Bench, kind: str, source: str, seed: int, count: int, report: Callable[[dict], None]) -> None:
    """Read inputs of a kind one after the other, in a process of its own.

    Args:
        bench: The valid files, warmed up.
        kind: Name of the kind.
        source: 'bytes' for damaged files, 'drawn' for those of hypothesis.
        seed: Random seed of what is drawn.
        count: How many inputs.
        report: Is given what :meth:`Reader.read` returns.
    """
    folder, work = bench.folder, bench.folder / 'work'
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    os.chdir(work)
    reader = Reader(bench, kind, work)
    reader.arm()
    if source == 'bytes':
        for number in range(count):
            report(reader.read(bench.mutated(kind, random.Random(f'{kind} {seed} {number}'))))
    else:
        draw_all(bench.drawn(kind), seed, count, lambda content: report(reader.read(content)), folder / 'hypothesis')


def draw_all(strategy: Any, seed: int, count: int, use: Callable[[bytes], None], home: Path) -> None:
    """Give a number of examples of a strategy to a function; ``home`` is where hypothesis keeps what it keeps."""
    import hypothesis
    from hypothesis.configuration import set_hypothesis_home_dir
    set_hypothesis_home_dir(home)
    settings = hypothesis.settings(max_examples=count,
                                   database=None,
                                   deadline=None,
                                   phases=[hypothesis.Phase.generate],
                                   suppress_health_check=list(hypothesis.HealthCheck))
    hypothesis.seed(seed)(settings(hypothesis.given(strategy)(lambda content: use(content))))()


class Reader:
    """Gives inputs to the readers of a kind and judges what comes of it.

    Args:
        bench: The valid files.
        kind: Name of the kind.
        work: Current folder, in which inputs lie.
    """

    def __init__(self, bench: Bench, kind: str, work: Path) -> None:
        self.bench, self.work = bench, work
        self.kind: Kind = KINDS[kind]
        self.path = work / f'input{self.kind.suffix}'
        self.events: list[str] = []
        self.caught = 0
        self._armed = False

    def arm(self) -> None:
        """Set the limits and listen to what Python is asked to do; none of it can be taken back."""
        self._armed = True
        limit = _address_space() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Their default actions end the process also within a library that is not Python.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.addaudithook(self._listen)
        warnings.simplefilter('ignore')

    def _listen(self, event: str, args: tuple) -> None:
        if event in FORBIDDEN and not self._is_own(args):
            self.events.append(f'{event} {args[0]!r}'[:200])
        elif event == 'open' and isinstance(args[0], str) and set(str(args[1] or '')) & set('wax+'):
            self.events += [] if self._is_own(args) else [f'open {args[0]} {args[1]}']

    def _is_own(self, args: tuple) -> bool:
        return bool(args) and os.path.abspath(str(args[0])).startswith(
            (str(self.bench.folder), '/dev/null', '/proc/self'))

    def read(self, content: bytes) -> dict:
        """Give one input to all readers.

        Returns:
            ``outcome`` ('read' or 'refused'), ``wrong`` (what is wrong with it, '' for nothing), the ``message`` of the
            last refusal, ``file`` (a copy where something is wrong), ``seconds`` of processor time and ``peak`` of
            memory in bytes beyond what there was.
        """
        self.path.write_bytes(content)
        self.events.clear()
        before = resident('VmRSS')
        _reset_peak()
        start = time.process_time()
        wrong: list[str] = []
        message, read_by = '', 0
        if self._armed:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            signal.alarm(WALL_SECONDS)
        for read in self.kind.readers:
            try:
                read(self.bench, self.path)
                read_by += 1
            except Exception as error:
                message = str(error)
                wrong += self._judge(error)
                wrong += [f'left {path.name}' for path in self.leftovers()]
            except SystemExit as error:
                wrong.append(f'ended the process with {error.code}')
            shutil.rmtree(self.bench.results, ignore_errors=True)
        if self._armed:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        peak = resident('VmHWM') - before
        if self._armed and peak > self.kind.peak + PEAK_PER_BYTE * len(content):
            wrong.append(f'took {peak >> 20} MiB for {len(content)} bytes')
        wrong += self.events
        if (self.work / 'RAN').exists():
            wrong.append('ran a command')
            (self.work / 'RAN').unlink()
        wrong += [
            f'left {path.name}' for path in self.work.iterdir()
            if path != self.path and not path.name.startswith(f'{self.path.name}.aux')
        ]
        file = ''
        if wrong:  # under a name of its own: the next input takes this one's place before anybody looks
            self.caught += 1
            file = str(self.bench.folder / f'caught_{os.getpid()}_{self.caught}{self.kind.suffix}')
            shutil.copyfile(self.path, file)
        return dict(file=file, outcome='read' if read_by else 'refused',
                    wrong='; '.join(dict.fromkeys(wrong)),
                    message=message[:300],
                    seconds=round(time.process_time() - start, 3),
                    peak=peak)

    def _judge(self, error: BaseException) -> Iterator[str]:
        text = str(error)
        if not isinstance(error, EXPECTED):
            place = traceback.extract_tb(error.__traceback__)[-1]
            yield f'{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {text[:160]}'
        elif self.path.name not in text:
            yield f'the message does not name the file: {text[:160]}'
        chain: BaseException | None = error
        while chain is not None:
            if isinstance(chain, MemoryError) or MEMORY.search(str(chain)):
                yield f'asked for too much memory: {text[:160]}'
                break
            chain = chain.__cause__ or chain.__context__

    def leftovers(self) -> list[Path]:
        """Files that a refused prediction left under a final name."""
        folder = self.bench.results
        return [
            path for path in folder.rglob('*')
            if not any(part.startswith('.') for part in path.relative_to(folder).parts)
        ] if folder.exists() else []


def _address_space() -> int:
    return int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()


def _reset_peak() -> None:
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')  # proc(5): resets VmHWM
