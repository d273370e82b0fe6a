"""The files of a download, whether they lie in folders or still in zips."""
import os
import os.path as osp
import shutil
import tempfile
import threading
import zipfile
import zlib
from contextlib import contextmanager
from functools import lru_cache
from typing import Iterator, NamedTuple, Optional

from ...io.listing import is_clutter
from ...io.pictures import shorten

# Written beside each converted split: a folder that holds it is the output of a conversion and never a source.
RECORD = 'prepare.json'
# Packed files that Python's zipfile cannot open; named when nothing else is found.
OTHER_ARCHIVES = ('.rar', '.7z', '.tar', '.gz', '.tgz', '.z01')

_open_lock = threading.Lock()


class SourceFile(NamedTuple):
    """A file of the download.

    Attributes:
        path: Where it lies below the source, with forward slashes. A zip counts as a folder of its own name, so that
            ``A/1.png`` inside of ``train.zip`` is ``train/A/1.png``.
        container: The file on the disk: the file itself, or the zip.
        member: Its name inside the zip; None for a file on the disk.
    """

    path: str
    container: str
    member: Optional[str] = None

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.container if self.member is None else f'{self.member} in {self.container}'


def list_sources(root: str) -> list[SourceFile]:
    """Every file below a folder or inside a zip, and inside the zips of the folder, sorted by path.

    Left out are hidden files, what macOS adds to zips, and the output of an earlier conversion.

    Raises:
        FileNotFoundError: If there is no such folder or zip.
        ValueError: If a zip is damaged or incomplete.
    """
    if osp.isfile(root):
        return sorted(_members(root, ''))
    if not osp.isdir(root):
        raise FileNotFoundError(f'{root} is neither a folder nor a zip; give the folder of the download')
    found: list[SourceFile] = []
    for folder, subfolders, files in os.walk(root):
        if RECORD in files:
            subfolders.clear()
            continue
        subfolders[:] = sorted(name for name in subfolders if not is_clutter(name))
        prefix = osp.relpath(folder, root).replace(os.sep, '/')
        prefix = '' if prefix == '.' else f'{prefix}/'
        for name in files:
            path = osp.join(folder, name)
            if name.lower().endswith('.zip'):
                found += _members(path, prefix)
            elif not is_clutter(name):
                found.append(SourceFile(prefix + name, path))
    return sorted(found)


def describe_sources(files: list[SourceFile]) -> str:
    """What a folder holds, for the message that nothing in it is known."""
    packed = [file.path for file in files if file.path.lower().endswith(OTHER_ARCHIVES)]
    if packed:
        return f'{shorten(packed)}; only zips are read directly: unpack these first'
    folders = sorted({osp.dirname(file.path) or '.' for file in files})
    return f'{len(files)} files in the folders {shorten(folders)}' if files else 'nothing'


@contextmanager
def on_disk(file: SourceFile, scratch: str) -> Iterator[str]:
    """Path of the file; a member of a zip is unpacked below `scratch` and removed again.

    Raises:
        OSError: If the member is damaged.
    """
    if file.member is None:
        yield file.container
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = osp.join(folder, osp.basename(file.member))
        unpack(file, path)
        yield path


def unpack(file: SourceFile, path: str) -> None:
    """Write a member of a zip to `path`, checked by its checksum.

    Raises:
        OSError: If the member is damaged.
    """
    try:
        with _open_zip(file.container).open(file.member) as source, open(path, 'wb') as target:
            shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise OSError(f'{file.label} cannot be unpacked: {error}. Download the zip again.') from error


def _members(container: str, prefix: str) -> list[SourceFile]:
    folder = prefix + osp.splitext(osp.basename(container))[0]
    names = [name for name in _open_zip(container).namelist() if not name.endswith('/')]
    return [SourceFile(f'{folder}/{name}', container, name) for name in names
            if not is_clutter(name)]


def _open_zip(container: str) -> zipfile.ZipFile:
    with _open_lock:  # otherwise several threads each read the same directory of 25,000 members
        return _open_zip_once(container, os.stat(container).st_mtime_ns)


@lru_cache(maxsize=16)
def _open_zip_once(container: str, _changed: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(container)
    except zipfile.BadZipFile as error:
        raise ValueError(f'{container} is not a whole zip: {error}. It is damaged, its download was cut short, or it '
                         'is one part of several: get it again.') from error

