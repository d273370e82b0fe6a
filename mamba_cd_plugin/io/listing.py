"""Which files of a folder are images, and the lists of names that say which of them belong to a split."""
import codecs
import os.path as osp
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

import mmengine.fileio as fileio

from .pictures import IMAGE_SUFFIXES, shorten

# What operating systems and network drives leave in every folder; hidden files, such as macOS's ._x.png, come on top.
CLUTTER = ('thumbs.db', 'desktop.ini', '__macosx', '@eadir')


def is_clutter(path: str) -> bool:
    """Whether a file, or a folder above it, is not the user's own: hidden, or created by the system."""
    return any(part.startswith('.') and part not in ('.', '..') or part.lower() in CLUTTER
               for part in re.split(r'[/\\]', path))


def same_text(name: str) -> str:
    """A name as most systems write it: macOS writes an umlaut, and zips it, as a letter and its dots."""
    return unicodedata.normalize('NFC', name)


def sort_images(files: Iterable[str]) -> tuple[dict[str, str], list[str], list[tuple[str, str]]]:
    """Images by their name without suffix.

    Args:
        files: Paths relative to one folder.

    Returns:
        By name the path; files that are no images; pairs of files of one name, of which the first was taken.
    """
    found: dict[str, str] = {}
    others, doubles = [], []
    for file in sorted(files):
        name, suffix = osp.splitext(file)
        name = same_text(name)
        if is_clutter(file):
            continue
        if suffix.lower() not in IMAGE_SUFFIXES:
            others.append(file)
        elif name in found:
            doubles.append((found[name], file))
        else:
            found[name] = file
    return found, others, doubles


def read_names(path: str, known: Collection[str], backend_args: dict | None = None) -> list[str]:
    """The names in a list, one per line, as the files are called.

    UTF-8 with or without a byte order mark and UTF-16 are read, lines of any system, blank lines and lines that begin
    with #. A line may have a suffix, folders before the name (``train/A/x.png``), or several files of one pair
    (``A/x.png B/x.png label/x.png``).

    Args:
        path: The list.
        known: Names of the files, without suffix. A line that is none of them is returned as it stands.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        ValueError: It is neither UTF-8 nor UTF-16, names nothing, or something twice.
    """
    text = same_text(_decode(fileio.get(path, backend_args), path))
    lines = [line.strip() for line in re.split(r'\r\n|\r|\n', text)]
    lines = [line for line in lines if line and not line.startswith('#')]
    if not lines:
        raise ValueError(f'{path} names no image; expected one name per line.')
    known = set(known)
    names = [_match(line, known) for line in lines]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f'{path} names {shorten(sorted(twice))} more than once: remove the repeats.')
    return names


def _decode(content: bytes, path: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = 'utf-16'
    else:
        encoding = 'utf-16-le' if content[1:2] == b'\0' else 'utf-8-sig'
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[:error.start].count(b'\n') + 1
        raise ValueError(f'{path}: line {line} is not {encoding[:5].upper()} ({error.reason}); expected a text file in '
                         f'UTF-8 or UTF-16. Save it as UTF-8, for instance: iconv -f LATIN1 -t UTF-8 {path}') from error


def _match(line: str, known: set[str]) -> str:
    whole = _match_path(line, known)
    if whole in known:
        return whole
    columns = {_match_path(part, known) for part in re.split(r'[\s,;]+', line)}
    return columns.pop() if len(columns) == 1 else whole


def _match_path(text: str, known: set[str]) -> str:
    # Only a known suffix is cut off: `tile_0.5m` is a name without one.
    name = osp.splitext(text)[0] if text.lower().endswith(IMAGE_SUFFIXES) else text
    if name in known:
        return name
    parts = [part for part in name.replace('\\', '/').split('/') if part not in ('', '.')]
    shorter = ('/'.join(parts[start:]) for start in range(len(parts)))
    return next((candidate for candidate in shorter if candidate in known), name)
