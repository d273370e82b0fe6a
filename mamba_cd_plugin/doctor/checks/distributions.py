"""Checks of which distributions are there."""
import shlex
import sys
from typing import Iterator

from ..facts import Facts
from ..finding import ERROR, Finding
from ..tried import ONEDL, OWNERS, TORCH, Tried


def pip(*arguments: str) -> str:
    """A pip command, for this Python and no other."""
    return shlex.join([sys.executable, '-m', 'pip', *arguments])


def install(*rows: Tried) -> str:
    """The command that installs these."""
    return pip('install', *(row.requirement for row in rows))


def replace_stack(facts: Facts) -> str:
    """Remove whatever there is of the OpenMMLab stack and install the family that is tested.

    Installing alone would not do: removing a distribution later takes the files of the other along.
    """
    there = [name for folder in OWNERS for name in facts.owners(folder)]
    remove = [pip('uninstall', '--yes', *there)] if there else []
    return '\n'.join([*remove, install(*ONEDL)])


def find_missing_distributions(facts: Facts) -> Iterator[Finding]:
    """torch or a part of the OpenMMLab stack is not installed."""
    if TORCH.name not in facts.installed:
        yield Finding('missing', ERROR, 'torch is not installed', install(TORCH))
    missing = [folder for folder in OWNERS if not facts.owners(folder)]
    if missing:
        yield Finding('missing', ERROR, f'no distribution provides {", ".join(missing)}', replace_stack(facts))


def find_overlaid_distributions(facts: Facts) -> Iterator[Finding]:
    """Two distributions that own the same folder: the files are a mixture."""
    for folder in OWNERS:
        owners = [f'{name} {facts.installed[name]}' for name in facts.owners(folder)]
        if len(owners) > 1:
            yield Finding('overlaid', ERROR, f'{" and ".join(owners)} are installed over each other: both own the '
                          f'folder {folder}, of which the last one installed has overwritten a part',
                          replace_stack(facts))
