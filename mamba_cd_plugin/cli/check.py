"""Find every problem of a data set in one pass: mamba-cd check data/levir_cd_256

Exit status: 0 without errors, 1 with (with --strict: or with warnings).
"""
import argparse

from ..preparation.check import Limits, as_json, check_dataset, format_result
from .json_option import add_json_argument, print_result

ERRORS = (OSError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    defaults = Limits()
    parser.add_argument('data_root', help='folder with train|val|test / A, B, label')
    parser.add_argument('--splits', nargs='+', help='splits to check (default: all)')
    add_json_argument(parser)
    parser.add_argument('--strict', action='store_true', help='warnings give exit status 1 too')
    parser.add_argument('--ignore-value', type=int, help='value of label pixels without ground truth')
    parser.add_argument('--value-range', type=float, nargs=2, metavar=('LOW', 'HIGH'),
                        help='values for black and white, for images of more than 8 bits')
    parser.add_argument('--max-shift', type=float, default=defaults.max_shift, metavar='PX',
                        help=f'report pairs that are shifted by more than this (default {defaults.max_shift:g})')
    parser.add_argument('--no-shift', action='store_true', help='do not measure the registration: several times faster')
    parser.add_argument('--workers', type=int, help='threads (default: one per processor, at most 8)')


def run(args: argparse.Namespace) -> int:
    """Check, and say what was found."""
    result = check_dataset(args.data_root, args.splits, Limits(max_shift=args.max_shift), args.ignore_value,
                           not args.no_shift, args.workers, progress=True, value_range=args.value_range)
    print_result(format_result(result), as_json(result), args.json)
    return int(result.count('error') > 0 or (args.strict and result.count('warning') > 0))
