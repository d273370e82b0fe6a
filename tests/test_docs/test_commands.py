"""The commands in README and docs: they exist and know the options and configs."""
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from mamba_cd_plugin.cli.main import COMMANDS
from mamba_cd_plugin.resources import find_config
from mamba_cd_plugin.zoo import STARTER, list_weights

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
COMMAND = re.compile(r'(?:\bpython (?=tools/|-m mamba_cd_plugin)|(?<=[ `/])mamba-cd (?=[a-z]))([^`\n]*)')
# Configs that a page tells the reader to write, and those of Open-CD.
OTHER_CONFIGS = {'configs/cdmamba_v9_levircd.py'}

WEIGHTS = {STARTER, *list_weights()}  # names that take the place of a checkpoint


def commands(page: Path) -> list[list[str]]:
    """Every command of ours, split as a shell would: a subcommand of mamba-cd, or a script, first."""
    return [shlex.split(text.strip().rstrip(',;)'), comments=True)
            for text in COMMAND.findall(page.read_text('utf-8').replace('\\\n', ' '))]


ALL = [(page.name, command) for page in PAGES for command in commands(page)]


def source_of(command: list[str]) -> str:
    """Code that reads the command line: the module of the subcommand, and what of ours it shares."""
    name = command[0]
    if name == '-m':
        return (ROOT / command[1].replace('.', '/') / '__main__.py').read_text('utf-8')
    if name.startswith('tools/'):
        text = (ROOT / name).read_text('utf-8')
        shim = re.search(r"run_tool\('([\w-]+)'", text)
        if not shim:
            return text
        name = shim.group(1)
    assert name in COMMANDS, f'mamba-cd has no command {name}'
    files = [COMMANDS[name].module.replace('.', '/'), 'cli/experiment']
    return ''.join((ROOT / f'mamba_cd_plugin/{file}.py').read_text('utf-8') for file in files)


def test_there_are_commands() -> None:
    found = Counter(page for page, _ in ALL)
    assert found['tutorial.md'] == 7 and found['README.md'] >= 6 and len(found) >= 7


@pytest.mark.parametrize(('page', 'command'), ALL, ids=lambda value: value if isinstance(value, str) else value[0])
def test_commands_configs_and_options_exist(page: str, command: list[str]) -> None:
    source = source_of(command)
    for word in command[1:]:
        if word.startswith('--') and word != '--help':
            assert f"'{word.split('=')[0]}'" in source, f'{page}: {shlex.join(command)}'
        if word.startswith('configs/') and word not in OTHER_CONFIGS:
            assert list(ROOT.glob(word)), f'{page}: {word}'
        if re.fullmatch(r'(\w+/)?cdmamba_v\w+', word) and 'work_dirs' not in word and word not in WEIGHTS:
            find_config(word)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r'\]\(([^)#\s]+)', page.read_text('utf-8')):
        if not link.startswith('http'):
            assert (page.parent / link).exists(), link


def test_every_page_is_in_the_menu() -> None:
    """mkdocs itself only warns of pages that are named and not there."""
    named = re.findall(r'^ +- [^:]+: ([\w/]+\.md)$', (ROOT / 'mkdocs.yml').read_text('utf-8'), re.M)
    assert sorted(named) == sorted(str(page.relative_to(ROOT / 'docs')) for page in (ROOT / 'docs').rglob('*.md'))
