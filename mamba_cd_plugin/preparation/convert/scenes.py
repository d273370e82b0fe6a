"""The pairs of a download: which files belong together, and which are missing."""
import os.path as osp
import re
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ...io.pictures import IMAGE_SUFFIXES
from .catalog import ROLES, DatasetFacts, Release
from .sources import SourceFile, describe_sources

# How many missing pairs are named; more than in other messages, because each has to be found again.
_MAX_NAMES = 50


class Problem(NamedTuple):
    """Why a split is not complete.

    Attributes:
        split: The split it belongs to.
        text: What is wrong, with the name of the pair.
    """

    split: str
    text: str


@dataclass(frozen=True)
class Scene:
    """A pair of images with its label, from which tiles are cut.

    Attributes:
        split: Its split.
        stem: First part of its tiles' names; no other scene of the split has it.
        files: By role (A, B, label).
        columns: First and last but one column, where only a part of the images belongs to the split.
    """

    split: str
    stem: str
    files: dict[str, SourceFile]
    columns: Optional[tuple[int, int]] = None


def find_scenes(files: list[SourceFile], facts: DatasetFacts) -> tuple[dict[str, list[Scene]], list[Problem]]:
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
            problems.append(Problem(split, f'{stem}: no file for {" and ".join(gaps)} (there is {there})'))
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


def _choose(known: Optional[SourceFile], file: SourceFile) -> SourceFile:
    """The unpacked one of two files for the same place, for a zip often stays beside what was unpacked from it."""
    if known is None or known == file:
        return file
    unpacked = [candidate for candidate in (known, file) if candidate.member is None]
    if len(unpacked) != 1:
        raise ValueError(f'{known.label} and {file.label} claim the same place in the data set: remove one of the two '
                         'copies, or give the folder of one of them as the source')
    return unpacked[0]


def _absent(groups: dict, facts: DatasetFacts) -> list[Problem]:
    """Pairs of which no file is there: by name where the official names are known, else by number."""
    problems = []
    for split, official in facts.splits.items():
        there = {stem.lower() for group_split, stem in groups if group_split == split}
        gone = official.images - len(there)
        if not there:
            problems.append(Problem(split, 'no file of this split was found'))
        elif facts.names:
            names = (facts.names.format(split=split, number=number + 1) for number in range(official.images))
            lacking = [name for name in names if name not in there]
            if lacking:
                problems.append(Problem(split, f'not found: {_listed(lacking)}'))
        elif gone > 0:
            problems.append(Problem(split, f'{gone} of {official.images} pairs were not found'))
        if len(there) > official.images:
            problems.append(Problem(split, f'{len(there)} pairs were found, officially there are {official.images}'))
    return problems


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ', '.join(names[:_MAX_NAMES]) + (f' and {more} more' if more > 0 else '')


def _natural(stem: str) -> list:
    """Sorts train_2 before train_10."""
    return [(0, int(part), '') if part.isdigit() else (1, 0, part) for part in re.split(r'(\d+)', stem)]
