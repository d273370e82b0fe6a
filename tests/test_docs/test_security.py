"""SECURITY.md names tests that exist, every command, and every command with the flag that gives trust."""
import ast
import re
from pathlib import Path

from mamba_cd_plugin import cli
from mamba_cd_plugin.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'SECURITY.md').read_text('utf-8')


def test_the_tests_that_it_names_exist() -> None:
    named = re.findall(r'`(tests/[^`:]+)::([^`]+)`', PAGE)
    assert len(named) >= 12
    for file, name in named:
        functions = [node.name for node in ast.parse((ROOT / file).read_text('utf-8')).body
                     if isinstance(node, ast.FunctionDef)]
        assert name in functions, f'{file}::{name}'


def test_every_command_is_there() -> None:
    rows = PAGE[PAGE.index('## Entries'):]
    assert [name for name in COMMANDS if f'`{name}`' not in rows] == []


def test_the_commands_that_give_trust_are_named() -> None:
    folder = Path(cli.__file__).parent
    giving = {path.stem for path in folder.glob('*.py') if "'--trust-checkpoint'" in path.read_text('utf-8')}
    line = next(line for line in PAGE.splitlines() if line.startswith('- `--trust-checkpoint` of'))
    assert giving == set(re.findall(r'`(\w+)`', line))
