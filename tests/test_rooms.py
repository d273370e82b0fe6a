"""The order of rooms in docs/architecture.md: a room imports only rooms above it."""
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mamba_cd_plugin'
PAGE = (ROOT / 'docs/architecture.md').read_text('utf-8')
# The table's first column, row by row; rooms of one row know nothing of each other.
ROWS = [re.findall(r'`(\w+)`', row.split('|')[1]) for row in re.findall(r'^\| `.*$', PAGE, re.M)]
# What a room must do without, so that it can be used outside of OpenMMLab or before torch is imported.
WITHOUT = {'ops': {'mmengine', 'mmcv', 'mmseg'}, 'io': {'mmcv', 'mmseg'}, 'resources': {'torch', 'mmengine', 'numpy'},
           'zoo': {'torch', 'mmengine', 'numpy'}, 'version': {'torch', 'mmengine', 'numpy'}}
LEVEL = {room: level for level, rooms in enumerate(ROWS) for room in rooms}


def imported_modules(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and dotted path inside the package of everything of ours that a file imports, also inside functions."""
    here = list(path.relative_to(ROOT).with_suffix('').parts)
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
        if isinstance(node, ast.Import):
            found = [alias.name.split('.') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[:len(here) - node.level] if node.level else []
            module = [*base, *(node.module.split('.') if node.module else [])]
            # `from .. import x` names a room, or a name of the package itself.
            found = [[*module, alias.name] for alias in node.names] if module == [PACKAGE.name] else [module]
        else:
            continue
        yield from ((node.lineno, name[1:]) for name in found if name[0] == PACKAGE.name and len(name) > 1)


def room_of(path: Path) -> str:
    """The folder or the module of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


FILES = sorted(path for path in PACKAGE.rglob('*.py') if path.parent != PACKAGE or path.stem not in
               ('__init__', '__main__'))


def test_the_page_names_every_room_once() -> None:
    assert sorted(LEVEL) == sorted({room_of(path) for path in FILES})
    assert sum(map(len, ROWS)) == len(LEVEL) and len(FILES) > 50


@pytest.mark.parametrize('room', sorted(LEVEL))
def test_a_room_knows_only_rooms_above_it(room: str) -> None:
    wrong = [f'{path.relative_to(ROOT)}:{line} imports {other}'
             for path in FILES if room_of(path) == room for line, (other, *_) in imported_modules(path)
             if other in LEVEL and other != room and LEVEL[other] >= LEVEL[room]]
    assert wrong == []


@pytest.mark.parametrize('room', sorted(WITHOUT))
def test_what_a_room_does_without(room: str) -> None:
    for path in (path for path in FILES if room_of(path) == room):
        names = {name.split('.')[0] for node in ast.walk(ast.parse(path.read_text('utf-8')))
                 for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                              [node.module or ''] if isinstance(node, ast.ImportFrom) and not node.level else [])}
        assert not names & WITHOUT[room], path
