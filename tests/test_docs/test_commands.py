"""The commands in README and docs: their tools exist and know the options."""
import re
import shlex
from pathlib import Path
from typing import Dict, List

import pytest

from mamba_cd_plugin.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
COMMAND = re.compile(r'\bpython ((?:tools/|-m mamba_cd_plugin)[^`\n]*)')
# Configs that a page tells the reader to write.
NEW_CONFIGS = {'configs/cdmamba_v9_levircd.py'}


def commands(page: Path) -> List[List[str]]:
    """Every command of ours, split as a shell would."""
    return [shlex.split(text.strip().rstrip(',;)'), comments=True)
            for text in COMMAND.findall(page.read_text('utf-8').replace('\\\n', ' '))]


ALL = [(page.name, command) for page in PAGES for command in commands(page)]


def source_of(command: List[str]) -> str:
    """Code that reads the command line: the tool, and what of ours it imports."""
    if command[0] == '-m':
        return (ROOT / command[1].replace('.', '/') / '__main__.py').read_text('utf-8')
    text = (ROOT / command[0]).read_text('utf-8')
    shim = re.search(r"run_tool\('([\w-]+)'", text)
    if not shim:
        return text
    files = [COMMANDS[shim.group(1)].module.replace('.', '/'), 'cli/experiment']
    return ''.join((ROOT / f'mamba_cd_plugin/{name}.py').read_text('utf-8') for name in files)


def test_there_are_commands() -> None:
    found: Dict[str, int] = {}
    for page, _ in ALL:
        found[page] = found.get(page, 0) + 1
    assert found['tutorial.md'] == 7 and found['README.md'] >= 6 and len(found) >= 7


@pytest.mark.parametrize(('page', 'command'), ALL, ids=lambda value: value if isinstance(value, str) else value[0])
def test_tools_configs_and_options_exist(page: str, command: List[str]) -> None:
    source = source_of(command)
    for word in command[1:]:
        if word.startswith('--') and word != '--help':
            assert f"'{word.split('=')[0]}'" in source, f'{page}: {shlex.join(command)}'
        if word.startswith('configs/') and word not in NEW_CONFIGS:
            assert list(ROOT.glob(word)), f'{page}: {word}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r'\]\(([^)#\s]+)', page.read_text('utf-8')):
        if not link.startswith('http'):
            assert (page.parent / link).exists(), link


def test_every_page_is_in_the_menu() -> None:
    """mkdocs itself only warns of pages that are named and not there."""
    named = re.findall(r'^ +- [^:]+: ([\w/]+\.md)$', (ROOT / 'mkdocs.yml').read_text('utf-8'), re.M)
    assert sorted(named) == sorted(str(page.relative_to(ROOT / 'docs')) for page in (ROOT / 'docs').rglob('*.md'))
