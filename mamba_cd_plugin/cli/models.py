"""List the weights that come with the package, and what they are good for: mamba-cd models"""
import argparse
import json
import sys

from ..zoo import list_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--json', action='store_true', help='write everything as JSON')


def run(args: argparse.Namespace) -> None:
    """List them."""
    cards = list_weights()
    if args.json:
        sys.stdout.write(json.dumps({name: dict(card._asdict(), path=str(card.path)) for name, card in cards.items()},
                                    indent=2) + '\n')
        return
    for card in cards.values():
        scores = ', '.join(f'{key} {value}' for key, value in card.scores.items())
        sys.stdout.write(f'{card.name}: config {card.config}, trained on {card.trained_on}; {scores}\n'
                         f'  {card.good_for}\n  licence: {card.licence}; file: {card.path}\n')
    if not cards:
        sys.stdout.write('This version comes without weights; train a config, or name a checkpoint.\n')
