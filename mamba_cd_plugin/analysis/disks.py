"""Commands on a disk that is full, has no inode or quota left or is read-only: how they end, and how they go on."""
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.checkpoint import load_safely
from ..io.pictures import read_picture

ROOM = '1g'  # of a disk with enough of everything
# What a disk is given of what the command needs there: from nothing at all to nearly enough.
SHARES = (0.02, 0.35, 0.7, 0.93)
PAGE = 4096  # of memory, in which tmpfs counts
# What every message of a full or read-only place has in it; see PLACE_ERRORS of io.files.
WORDS = re.compile(r'the disk (is full|is read-only|has no inode left|has [\d,]+ MB free|quota is used up)')
AMOUNT = re.compile(r'\d[\d,]* (bytes|are free|MB)|read-only')
FORK = multiprocessing.get_context('fork')


class Case(NamedTuple):
    """A command that writes.

    Attributes:
        name: What it is called in the table.
        words: The command; ``{out}`` stands for the folder on the disk.
        before: Commands that prepare it while there is room; their files are kept.
    """
    name: str
    words: Sequence[str]
    before: Sequence[Sequence[str]] = ()


@dataclass
class Trial:
    """What one command did on one bad disk.

    Attributes:
        case: Name of the command.
        fault: What was wrong with the disk.
        wrong: What did not hold, '' for nothing.
        message: The last line of its output.
        seconds: Run time of the command.
    """
    case: str
    fault: str
    wrong: list[str] = field(default_factory=list)
    message: str = ''
    seconds: float = 0.


class Disk:
    """A tmpfs, which is a disk of any size that is there at once; only root may mount one.

    Args:
        place: Folder to mount it on.
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Have it mounted, with room.

        Raises:
            PermissionError: If this process may not mount anything.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        _mount(['-t', 'tmpfs', '-o', f'size={ROOM}', 'tmpfs'], self.place)
        try:
            yield
        finally:
            subprocess.run(['umount', '-l', str(self.place)], check=False)

    def faults(self, start: tuple[int, int], needs: tuple[int, int]) -> dict[str, str]:
        """What can be wrong with it: name, and what :meth:`set` takes.

        Args:
            start: Bytes and inodes that are taken before the command runs.
            needs: Those that it takes.
        """
        faults = {f'full at {share:.0%} of what it needs': f'size={_pages(start[0] + share * needs[0])}'
                  for share in SHARES}
        return {**faults, 'no inode after half of them': f'nr_inodes={start[1] + max(1, needs[1] // 2)}',
                'read-only': 'ro'}

    def set(self, options: str) -> None:
        """Change its size, its number of inodes, or make it read-only."""
        subprocess.run(['mount', '-o', f'remount,{options}', str(self.place)], check=True)

    def mend(self) -> None:
        """Give it room again."""
        self.set(f'rw,size={ROOM},nr_inodes=0')

    def used(self) -> tuple[int, int]:
        """Bytes and inodes that are taken."""
        state = os.statvfs(self.place)
        return (state.f_blocks - state.f_bfree) * state.f_frsize, state.f_files - state.f_ffree


class QuotaDisk(Disk):
    """A btrfs in a file, mounted beside ``place``, with ``place`` as its subvolume; its quotas bind root too.

    Those of ext4 do not, and tmpfs has none in many kernels.

    Args:
        place: See :class:`Disk`.

    Raises:
        FileNotFoundError: If btrfs-progs is not installed.
    """

    def __init__(self, place: Path) -> None:
        super().__init__(place.with_name(f'{place.name}.mount') / place.name)
        if shutil.which('mkfs.btrfs') is None:
            raise FileNotFoundError('mkfs.btrfs is not there, so no disk with a quota can be made; install btrfs-progs')

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Have it mounted, without a limit.

        Raises:
            PermissionError: If this process may not mount anything.
        """
        top = self.place.parent
        top.mkdir(parents=True, exist_ok=True)
        image = top.with_suffix('.image')
        with image.open('wb') as file:
            file.truncate(1 << 30)
        _run('mkfs.btrfs', '-q', str(image))
        _mount(['-o', 'loop', str(image)], top)
        try:
            _run('btrfs', 'quota', 'enable', str(top))
            _run('btrfs', 'subvolume', 'create', str(self.place))
            yield
        finally:
            subprocess.run(['umount', '-l', str(top)], check=False)
            image.unlink()

    def faults(self, start: tuple[int, int], needs: tuple[int, int]) -> dict[str, str]:
        """See :meth:`Disk.faults`."""
        return {f'quota of {share:.0%} of what it needs': str(_pages(start[0] + share * needs[0])) for share in SHARES}

    def set(self, options: str) -> None:
        """Limit the bytes of the subvolume."""
        # Through the folder above it: in the subvolume itself a limit that is used up cannot even be lifted.
        _run('btrfs', 'qgroup', 'limit', options, self._group()[0], str(self.place.parent))

    def mend(self) -> None:
        """Take the limit off."""
        self.set('none')

    def used(self) -> tuple[int, int]:
        """Bytes that are taken, and no inodes."""
        return int(self._group()[1]), 0

    def _group(self) -> list[str]:
        """What stands in the table of quotas about the subvolume: its number, bytes, and more."""
        table = _run('btrfs', 'qgroup', 'show', '--raw', '--sync', '-f', str(self.place))
        return next(line.split() for line in table.splitlines() if line.startswith('0/'))


def _mount(words: list[str], place: Path) -> None:
    done = subprocess.run(['mount', *words, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(f'{place}: a small disk cannot be mounted there ({done.stderr.strip()}); this check '
                              'needs root, such as in a container with --privileged')


def _run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def try_case(case: Case, disk: Disk, main: Callable[[list[str]], int], log: Path) -> Iterator[Trial]:
    """Run a command on bad disks, and again on each once it is good.

    Args:
        case: The command.
        disk: Where it writes.
        main: Runs a command, as the console script does.
        log: File for what the commands print.
    """
    words = [word.format(out=disk.place) for word in case.words]
    with disk.mounted():
        for before in case.before:
            _must_end_well([word.format(out=disk.place) for word in before], main, log)
        start = disk.used()
        kept = log.with_suffix('.kept')
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(disk.place, kept)
        _must_end_well(words, main, log)
        end = disk.used()
        expected = _names(disk.place)
    needs = end[0] - start[0], end[1] - start[1]
    for fault, options in disk.faults(start, needs).items():
        trial = Trial(case.name, fault)
        with disk.mounted():
            shutil.copytree(kept, disk.place, dirs_exist_ok=True)
            disk.set(options)
            began = time.monotonic()
            status, text = run_apart(words, main, log)
            trial.seconds = time.monotonic() - began
            _judge(trial, status, text, disk.place)
            disk.mend()
            status, text = run_apart(words, main, log)
            if status:
                trial.wrong.append(f'with room again it ended with {status}: {last_line(text)[:300]}')
            missing = sorted(expected - _names(disk.place))
            if missing and not status:
                trial.wrong.append(f'with room again it left out {", ".join(missing[:3])}')
            trial.wrong += [f'damaged at the end: {name}' for name in damaged_files(disk.place)]
        yield trial
    shutil.rmtree(kept, ignore_errors=True)


def _pages(size: float) -> int:
    return max(PAGE, int(size) // PAGE * PAGE)


def _judge(trial: Trial, status: int, text: str, place: Path) -> None:
    trial.message = last_line(text)
    if status in (0, None):
        trial.wrong.append('ended as if all were well')
    elif status < 0:
        trial.wrong.append(f'ended by signal {-status}')
    if 'Traceback (most recent call last)' in text:
        trial.wrong.append('showed a traceback')
    if not WORDS.search(trial.message):
        trial.wrong.append(f'does not say what is wrong with the disk: {trial.message[:200]}')
    elif not AMOUNT.search(trial.message):
        trial.wrong.append(f'says no amount: {trial.message[:200]}')
    if str(place) not in trial.message:
        trial.wrong.append(f'does not name the place: {trial.message[:200]}')
    trial.wrong += [f'half-written: {name}' for name in damaged_files(place)]


def last_line(text: str) -> str:
    """The last line of an output that is not empty; '' if there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ''


def _names(folder: Path) -> set[str]:
    """Names of finished files, with what changes from run to run left out."""
    names = (str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())
    return {re.sub(r'\d{8}_\d{6}|events\.out.*|\d{10,}', '*', name) for name in names if '/.' not in f'/{name}'}


def damaged_files(folder: Path) -> list[str]:
    """Finished files that cannot be read; hidden ones are no results, and logs grow line by line."""
    wrong = []
    for path in sorted(folder.rglob('*')):
        if not path.is_file() or any(part.startswith('.') for part in path.relative_to(folder).parts):
            continue
        check = CHECKS.get(path.suffix)
        try:
            if check is not None and '/vis_data/' not in str(path):
                check(path)
        except Exception as error:  # whatever the damage makes a reader say
            wrong.append(f'{path.relative_to(folder)} ({str(error)[:80]})')
    return wrong


def _read_table(path: Path) -> None:
    import pyogrio
    pyogrio.read_dataframe(path)


def _read_config(path: Path) -> None:
    compile(path.read_text('utf-8'), str(path), 'exec')
    if not path.stat().st_size:
        raise ValueError('empty')


def _read_page(path: Path) -> None:
    if not path.read_text('utf-8').rstrip().endswith('</html>'):
        raise ValueError('has no end')


CHECKS: dict[str, Callable[[Path], Any]] = {
    '.png': lambda path: read_picture(str(path)), '.jpg': lambda path: read_picture(str(path)),
    '.tif': lambda path: read_picture(str(path)), '.pth': lambda path: load_safely(str(path), 'cpu'),
    '.json': lambda path: json.loads(path.read_text('utf-8')), '.gpkg': _read_table, '.py': _read_config,
    '.html': _read_page,
}


def _must_end_well(words: list[str], main: Callable[[list[str]], int], log: Path) -> None:
    status, text = run_apart(words, main, log)
    if status:
        raise RuntimeError(f'mamba-cd {" ".join(words)} ended with the status {status} on a good disk:\n{text[-2000:]}')


def run_apart(words: list[str], main: Callable[[list[str]], int], log: Path) -> tuple[int, str]:
    """Run a command in a forked process, which has no need to import all over again: exit status and output."""
    child = FORK.Process(target=_child, args=(words, main, log))
    child.start()
    child.join()
    return child.exitcode, log.read_text(errors='replace')


def _child(words: list[str], main: Callable[[list[str]], int], log: Path) -> None:
    with log.open('w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    status: Any = 1
    try:
        status = main(words)
    except SystemExit as error:  # as the interpreter ends
        status = error.code
        if isinstance(status, str):
            sys.stderr.write(f'{status}\n')
            status = 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)
