"""Writing files: whole or not at all, and never over what this package did not make."""
import errno
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

StrPath = str | os.PathLike[str]

# Lies in every folder of results and says which of its files are ours, one a line; see OutputFolder.
RECORD = '.mamba_cd_outputs'
# A place that does not even take this many bytes is why a writer failed, whatever the writer said.
FULL = 64 << 10
# Errors of the place and not of what is written, with what to say about each.
PLACE_ERRORS = {
    errno.ENOSPC: 'the disk is full', errno.EDQUOT: 'the disk quota is used up', errno.EROFS: 'the disk is read-only',
    errno.EACCES: 'writing there is not permitted', errno.EPERM: 'writing there is not permitted',
    errno.ENOTDIR: 'a part of its path is a file', errno.EEXIST: 'a part of its path is a file',
    errno.ENAMETOOLONG: 'the name is too long',
}


@contextmanager
def whole_file(path: StrPath, needed: int = 0, sync: bool = True) -> Iterator[Path]:
    """Write a file so that a reader, and a run that is killed, sees the old content or the new one, never a part.

    ::

        with whole_file('scores.json') as part:
            part.write_text(text)

    Gives the path of a temporary file beside the final one, with the same suffix (Pillow, GDAL and others choose the
    format by it; torch.save also writes it into the file, so give it an open file instead). When the block ends without
    an error the file is flushed to the disk and takes its final name; else it is deleted and the old file stays as it
    was. Missing folders are made. A link is followed; a device such as /dev/stdout is written directly.

    Args:
        path: The file.
        needed: Bytes that it will take, if known: too little space is then an error before anything is computed.
        sync: Wait until the content is on the disk. Without it a power failure may leave an empty file; False is for
            thousands of small files that are checked later, where waiting for each would take most of the time.

    Raises:
        OSError: It cannot be written; the message names the file, what was needed and what is free.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'{path}: cannot be written, it is a folder. Expected the name of a file')
    if path.exists() and not path.is_file():
        yield path
        return
    path = Path(os.path.realpath(path))
    part = path.with_name(f'.{path.stem}.{os.getpid()}.part{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if needed > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield part
        if sync:
            with part.open('rb+') as file:
                os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    except Exception as error:
        cause = _cause(error, path, part)
        if cause is None:
            raise
        raise OSError(f'{path}: cannot be written, {cause} ({_space(path, part, needed, cause)}). '
                      f'{_advice(cause)}') from error
    finally:
        if part.is_file():
            part.unlink()


def not_written(path: Path, error: Exception | None = None) -> OSError:
    """The error to raise for a file that a library has not written, or not completely.

    Args:
        path: The file.
        error: Error that the library raised; None if it raised none.

    Returns:
        It names the file, what the library said, and what is wrong with the place where that can be found out.
    """
    cause = _cause(error or OSError(), path, path)
    if cause is not None:
        return OSError(f'{path}: cannot be written, {cause} ({_space(path, path, 0, cause)}). {_advice(cause)}')
    said = 'was not written completely' if error is None else f'could not be written ({error})'
    return OSError(f'{path}: {said}. Is the disk full?')


def _cause(error: Exception, path: Path, part: Path) -> str | None:
    """Why the place takes no file; None if the error is about something else, such as a file that is read."""
    if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
        named = error.filename
        # An error of another file, such as the source of a copy, is not about this place.
        if named is None or Path(os.fsdecode(named)) in (part, path, *path.parents):
            return _reason(error.errno, path)
    return refusal_of(path.parent)  # libraries report a failed write in words of their own


def refusal_of(folder: Path) -> str | None:
    """Why a folder takes no file of 64 KiB, found out by writing one; None if it takes it, or does not exist."""
    trial = folder / f'.{os.getpid()}.trial'
    try:
        with trial.open('wb') as file:
            file.write(bytes(FULL))
            file.flush()
            os.fsync(file.fileno())
    except OSError as refused:
        return _reason(refused.errno, folder) if refused.errno in PLACE_ERRORS else None
    finally:
        with suppress(OSError):  # there is none where none could be made
            trial.unlink()
    return None


def _reason(number: int, path: Path) -> str:
    state = os.statvfs(_existing(path))
    if number == errno.ENOSPC and state.f_bavail * state.f_frsize >= FULL and state.f_files and not state.f_favail:
        return 'the disk has no inode left for another file'
    return PLACE_ERRORS[number]


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def _space(path: Path, part: Path, needed: int, cause: str) -> str:
    written = part.stat().st_size if part.is_file() else 0
    wanted = f'{needed:,} bytes are needed' if needed else f'{written:,} bytes were written'
    return f'{wanted}, {shutil.disk_usage(_existing(path)).free:,} are free{_beyond(cause)}'


def _beyond(cause: str) -> str:
    """Mark free space of the disk that a quota does not leave to us; no system call tells what it leaves."""
    return ' beyond it' if cause == PLACE_ERRORS[errno.EDQUOT] else ''


@contextmanager
def place_errors(folder: StrPath) -> Iterator[None]:
    """Say in words what is wrong with a place, where something inside wrote a file without :func:`whole_file`.

    Args:
        folder: Where the files go; named where the error names none.

    Raises:
        OSError: With the file or the folder, what is wrong, and how many bytes are free.
    """
    try:
        yield
    except OSError as error:
        # Without a number it is one of ours, in words already; a missing permission may be that of a file to read.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else Path(folder)
        cause = place_error(error, path)
        raise OSError(f'{path}: cannot be written, {cause}. {_advice(cause)}') from error


def _advice(cause: str) -> str:
    lacks_room = any(word in cause for word in ('full', 'quota', 'inode'))
    return 'Free some space, or write to another folder' if lacks_room else 'Write to another folder'


def place_error(error: OSError, path: StrPath) -> str:
    """What is wrong with a place, in words; where it is full, with how many bytes are free.

    Args:
        error: Error that writing raised.
        path: What was to be written, or its folder.
    """
    path = Path(path)
    reason = _reason(error.errno, path) if error.errno in PLACE_ERRORS else error.strerror or str(error)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return reason
    return f'{reason} ({shutil.disk_usage(_existing(path)).free:,} bytes are free{_beyond(reason)})'


class OutputFolder:
    """A folder that a tool writes into, and the guard over what is there already.

    ::

        outputs = OutputFolder('masks', data=['data/test/A', 'data/test/B', 'data/test/label'], option='--out')
        outputs.claim(['s1.png', 's2.png'])    # refuses now, before anything is computed
        with outputs.write('s1.png') as part:  # whole_file, and a note that the file is ours
            image.save(part)

    A hidden record (:data:`RECORD`) in the folder names the files that were made by this package. Such a file may be
    replaced by a second run, unless somebody has changed it since. Every other file that is there stays as it is. The
    record is only ever added to, by one line at a time, so that several processes may write into one folder, and a run
    that was killed knows its files again.

    Args:
        folder: The folder; made with the first file.
        data: Folders of the data that is read: nothing is written into one of them or below.
        option: The argument that chose the folder, for messages.

    Raises:
        ValueError: If the folder is one of the data's.
        NotADirectoryError: If it is a file.
    """

    def __init__(self, folder: StrPath, data: Iterable[StrPath] = (), option: str = 'the output folder') -> None:
        self.folder = Path(folder)
        self.option = option
        self._claimed: set[str] = set()
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f'{option} {folder}: is a file; expected a folder, which may be new')
        place = self.folder.resolve()
        for source in data:
            inside = Path(source).resolve()
            if place == inside or inside in place.parents:
                raise ValueError(f'{option} {folder}: is a folder of the data ({source}), and results among images or '
                                 'labels would damage the data set. Choose another folder')

    def claim(self, names: Iterable[str]) -> None:
        """Make sure that files may be written, and note in the record that they are ours.

        Args:
            names: Names of files, or of folders that will hold nothing else, relative to the folder.

        Raises:
            FileExistsError: A file is there that this package did not make, or that was changed since.
            ValueError: Two files would have the same name.
            OSError: The folder cannot be written to.
        """
        names = list(names)
        self.refuse_foreign(names)
        self._claimed.update(names)
        self._note(f'{name}\n' for name in names)

    def refuse_foreign(self, names: Iterable[str]) -> None:
        """The check of :meth:`claim` alone, which leaves no trace.

        Raises:
            FileExistsError, ValueError: See :meth:`claim`.
        """
        names = list(names)
        again = [name for name, count in Counter([*names, *self._claimed]).items() if count > 1]
        if again:
            raise ValueError(f'{self.option} {self.folder}: two inputs have the same name, and {_few(again)} of one '
                             'would be lost. Rename one, or write their results into different folders')
        ours = _read_record(self.folder)
        there = [name for name in names if (self.folder / name).exists()]
        foreign = [name for name in there if name not in ours]
        if foreign:
            raise FileExistsError(f'{self.option} {self.folder}: {_few(foreign)} would be overwritten, which this '
                                  'package did not make. Choose another folder, or move it away')
        changed = [name for name in there if ours[name] and ours[name] != _state(self.folder / name)]
        if changed:
            raise FileExistsError(f'{self.option} {self.folder}: {_few(changed)} would be overwritten, which was '
                                  'changed after it was made here. Choose another folder, or move it away')

    @contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """:func:`whole_file` for a file of this folder behind the guard; an error leaves no trace in the record."""
        if name not in self._claimed:
            self.refuse_foreign([name])
        with whole_file(self.folder / name) as part:
            yield part
            self._note([f'{name}\n'])  # before the file is there, or a run killed just now would not know it again
        self.sign([name])

    def sign(self, names: Iterable[str]) -> None:
        """Note the content of finished files, so that later changes by others are noticed."""
        files = [name for name in names if (self.folder / name).is_file()]  # a folder has no content of its own
        self._note(f'{name}\t{_state(self.folder / name)}\n' for name in files)

    def _note(self, lines: Iterable[str]) -> None:
        text = ''.join(lines)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.folder / RECORD, 'ab+') as file:
                if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b'\n':
                    text = f'\n{text}'  # a full disk cut the last line
                file.write(text.encode('utf-8'))
        except OSError as error:
            raise type(error)(f'{self.option} {self.folder}: cannot be written to, {place_error(error, self.folder)}. '
                              'Choose another folder') from error


@contextmanager
def output_file(path: StrPath, sources: Iterable[StrPath] = (), option: str = 'the output') -> Iterator[Path]:
    """:func:`whole_file` behind the guard: one file that the user named, at the end of the computation.

    Call :func:`guard_output` first where the computation takes long.

    Raises:
        FileExistsError, ValueError, OSError: See :func:`guard_output` and :func:`whole_file`.
    """
    guard_output(path, sources, option)
    path = Path(path)
    if path.exists() and not path.is_file():
        with whole_file(path) as part:
            yield part
    else:
        with OutputFolder(path.parent, option=option).write(path.name) as part:
            yield part


def guard_output(path: StrPath, sources: Iterable[StrPath] = (), option: str = 'the output') -> None:
    """Refuse a file that is one of the inputs, or that is there and was not made by this package.

    Args:
        path: The file that is to be written.
        sources: Files that are read.
        option: The argument that named the file, for messages.

    Raises:
        FileExistsError: It is there and not ours.
        ValueError: It is one of the inputs.
    """
    path = Path(path)
    if any(path.resolve() == Path(source).resolve() for source in sources):
        raise ValueError(f'{option} {path}: is one of the inputs and would be overwritten. Choose another name')
    if path.is_file():
        OutputFolder(path.parent, option=option).refuse_foreign([path.name])


def own_outputs(folder: StrPath) -> set[str]:
    """The names of the files in a folder that this package made, as its record has them."""
    return {name for name in _read_record(Path(folder)) if (Path(folder) / name).exists()}


def _read_record(folder: Path) -> dict[str, str]:
    """State of each of our files when it was finished, by name; '' if it was never finished."""
    try:
        lines = (folder / RECORD).read_text('utf-8', errors='replace').split('\n')
    except OSError:
        return {}
    return {name: state for name, _, state in (line.partition('\t') for line in lines) if name}


def _state(path: Path) -> str:
    """Size and checksum of a file: the same for a copy of it, another for any other content."""
    checksum = 0
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return f'{path.stat().st_size}-{checksum:08x}'


def _few(names: list[str]) -> str:
    return ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
