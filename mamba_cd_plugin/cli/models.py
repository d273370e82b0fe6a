"""List the weights that come with the package, with their scores, licence and checksum: mamba-cd models"""
import argparse
import json
import sys
import textwrap

from prettytable import PrettyTable

from ..zoo import TABLE_HEAD, card_fields, list_weights, tabulate_weights

# Of some columns of the table, which then fits a terminal of 140 characters.
WIDTHS = {'trained on': 22, 'F1 of the changed class, %': 40, 'licence': 14}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--json', action='store_true', help='write the whole cards as JSON')


def run(args: argparse.Namespace) -> None:
    """List them."""
    cards = list_weights()
    if args.json:
        content = {name: dict(card_fields(card), path=str(card.path)) for name, card in cards.items()}
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + '\n')
        return
    if not cards:
        sys.stdout.write('This version comes without weights; train a config, or name a checkpoint.\n')
        return
    table = PrettyTable(TABLE_HEAD, align='l')
    table.max_width.update(WIDTHS)  # prettytable 3.9 cannot set it as a whole
    table.add_rows([[cell.replace('; ', '\n') for cell in row] for row in tabulate_weights()])
    notes = [f'{card.name}: {card.good_for} {card.limits} {card.terms}' for card in cards.values()]
    text = '\n\n'.join(textwrap.fill(note, 116, subsequent_indent='  ') for note in notes)
    sys.stdout.write(f'{table.get_string()}\n\n{text}\n')
