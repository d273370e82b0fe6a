"""The files of a download, in folders or still in zips, and the pairs that they form."""
import os
import os.path as osp
import re
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from ...io.listing import is_clutter
from ...io.pictures import IMAGE_SUFFIXES, read_picture, shorten
from .catalog import OWN_DATA, ROLES, DatasetFacts, OfficialSplit, Release, scaled_side, split_folders

# Written beside each converted split: a folder that holds it is the output of a conversion and never a source.
RECORD = 'prepare.json'
# Packed files that Python's zipfile cannot open; named when nothing else is found.
OTHER_ARCHIVES = ('.rar', '.7z', '.tar', '.gz', '.tgz', '.z01')
# How many missing pairs are named; more than in other messages, because each has to be found again.
_MAX_NAMES = 50

_open_lock = threading.Lock()


class SourceFile(NamedTuple):
    """A file of the download.

    Attributes:
        path: Where it lies below the source, with forward slashes. A zip counts as a folder of its own name, so that
            ``A/1.png`` inside of ``train.zip`` is ``train/A/1.png``.
        container: The file on the disk: the file itself, or the zip.
        member: Name inside the zip; None for a file on the disk.
    """

    path: str
    container: str
    member: str | None = None

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
        raise ValueError(f'{container} is not a complete zip: {error}. It is damaged, its download was cut short, or '
                         'it is one part of several: download it again.') from error


class SplitProblem(NamedTuple):
    """Why a split is not complete.

    Attributes:
        split: The split it belongs to.
        text: Description of the problem, with the name of the pair.
    """

    split: str
    text: str


@dataclass(frozen=True)
class Scene:
    """A pair of images with its label, from which tiles are cut.

    Attributes:
        split: Split that the pair belongs to.
        stem: First part of its tiles' names; no other scene of the split has it.
        files: Source files by role (A, B, label).
        columns: First and last but one column, where only a part of the images belongs to the split.
    """

    split: str
    stem: str
    files: dict[str, SourceFile]
    columns: tuple[int, int] | None = None


def find_scenes(files: list[SourceFile], facts: DatasetFacts) -> tuple[dict[str, list[Scene]], list[SplitProblem]]:
    """Sort the files of a download into pairs.

    Returns:
        The complete pairs of each official split in the order of their numbers, and what is missing.

    Raises:
        ValueError: If no file belongs to the data set, or if two of them claim the same place.
    """
    groups: dict[tuple[str, str], dict[str, SourceFile]] = {}
    columns: dict[str, tuple[int, int]] = {}
    for file in files:
        for split, role, stem, release in _places(file, facts):
            group = groups.setdefault((split, stem), {})
            group[role] = _choose(group.get(role), file)
            columns.update(release.columns)
    if not groups:
        layouts = '; or '.join(release.name for release in facts.releases)
        raise ValueError(f'no file of {facts.title} found. Expected {layouts}. Found {describe_sources(files)}.')
    scenes: dict[str, list[Scene]] = {split: [] for split in facts.splits}
    problems = []
    for split, stem in sorted(groups, key=lambda place: _natural(place[1])):
        group = groups[split, stem]
        gaps = [role for role in ROLES if role not in group]
        if gaps:
            there = ', '.join(file.label for file in group.values())
            problems.append(SplitProblem(split, f'{stem}: no file for {" and ".join(gaps)} (there is {there})'))
        else:
            scenes[split].append(Scene(split, stem, group, columns.get(split)))
    problems += _absent(groups, facts)
    return scenes, problems


def _places(file: SourceFile, facts: DatasetFacts) -> list[tuple[str, str, str, Release]]:
    """Split, role and stem of a file in the first release that knows it; several where a raster serves many splits."""
    path, suffix = osp.splitext(file.path)
    if suffix.lower() not in IMAGE_SUFFIXES:
        return []
    for release in facts.releases:
        for role, pattern in release.patterns.items():
            match = re.search(f'(?:^|/)(?:{pattern})$', path, re.IGNORECASE)
            if match:
                named = match.groupdict()
                splits = [named['split'].lower()] if 'split' in named else list(release.columns)
                return [(split, role, named.get('stem', split), release) for split in splits if split in facts.splits]
    return []


def _choose(known: SourceFile | None, file: SourceFile) -> SourceFile:
    """The unpacked one of two files for the same place, for a zip often stays beside what was unpacked from it."""
    if known is None or known == file:
        return file
    unpacked = [candidate for candidate in (known, file) if candidate.member is None]
    if len(unpacked) != 1:
        raise ValueError(f'{known.label} and {file.label} claim the same place in the data set: remove one of the two '
                         'copies, or give the folder of one of them as the source')
    return unpacked[0]


def _absent(groups: dict, facts: DatasetFacts) -> list[SplitProblem]:
    """Pairs of which no file is there: by name where the official names are known, else by number."""
    problems = []
    for split, official in facts.splits.items():
        there = {stem.lower() for group_split, stem in groups if group_split == split}
        gone = official.images - len(there)
        if not there:
            problems.append(SplitProblem(split, 'no file of this split was found'))
        elif facts.names:
            names = (facts.names.format(split=split, number=number + 1) for number in range(official.images))
            lacking = [name for name in names if name not in there]
            if lacking:
                problems.append(SplitProblem(split, f'not found: {_listed(lacking)}'))
        elif gone > 0:
            problems.append(SplitProblem(split, f'{gone} of {official.images} pairs were not found'))
        if len(there) > official.images:
            text = f'{len(there)} pairs were found, officially there are {official.images}'
            problems.append(SplitProblem(split, text))
    return problems


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ', '.join(names[:_MAX_NAMES]) + (f' and {more} more' if more > 0 else '')


def _natural(stem: str) -> list:
    """Sorts train_2 before train_10."""
    return [(0, int(part), '') if part.isdigit() else (1, 0, part) for part in re.split(r'(\d+)', stem)]


def own_facts(source: str, scale: float = 1.) -> DatasetFacts:
    """Data of the user in the layout ``train|val|test / A, B, label``, as a data set that is complete as it lies there.

    Args:
        source: Folder or zip.
        scale: Factor on the sides of the images, as given to the converter.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError, ValueError: If it holds no pair in this layout, the first image of a split cannot be read, or the
            scale is out of range.
    """
    splits = {split: OfficialSplit(0, 0, 0) for split in ('train', 'val', 'test')}
    facts = DatasetFacts(OWN_DATA, 'your own data', splits, (split_folders('A', 'B'), ))
    scenes, problems = find_scenes(list_sources(source), facts)
    for split in list(splits):
        # A pair that lacks a file counts, so that the split is incomplete without it.
        number = len(scenes[split]) + sum(problem.split == split and ': no file for ' in problem.text
                                          for problem in problems)
        if not scenes[split]:
            del splits[split]
            continue
        first = scenes[split][0].files['A']
        with tempfile.TemporaryDirectory() as scratch, on_disk(first, scratch) as path:
            height, width = read_picture(path).values.shape[:2]
        splits[split] = OfficialSplit(number, scaled_side(height, scale), scaled_side(width, scale))
    return replace(facts, splits=splits)
