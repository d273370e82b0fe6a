"""List the configs, or copy one to edit:

    mamba-cd configs
    mamba-cd configs copy cdmamba_v8_levircd my_configs

A copy takes along what it is based on, so that it can be edited and trained from where it lies.
"""
import argparse
import sys
from pathlib import Path

from ..resources import copy_config, describe_config, list_configs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest='action', metavar='list|copy')
    listing = actions.add_parser('list', help='list the configs (the default)')
    listing.add_argument('word', nargs='?', default='', help='only names with this word in them')
    copying = actions.add_parser('copy', help='copy a config into a folder')
    copying.add_argument('name', help='config: its name, or its file')
    copying.add_argument('folder', nargs='?', default='configs', help='where to (default: configs)')


def run(args: argparse.Namespace) -> int:
    """List or copy; exit status 1 if no config has the word in its name."""
    if args.action == 'copy':
        config, *bases = copy_config(args.name, Path(args.folder))
        sys.stdout.write(f'{config}\n  with {len(bases)} files that it is based on; train it by: '
                         f'mamba-cd train {config}\n')
        return 0
    found = {name: path for name, path in list_configs().items() if getattr(args, 'word', '') in name}
    width = max(map(len, found), default=0) + 2
    sys.stdout.write(''.join(f'{name:{width}}{describe_config(path)}\n' for name, path in found.items()))
    return int(not found)
