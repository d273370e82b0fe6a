"""Parameters and FLOPs of a config's model, part by part, the selective scan included.

    mamba-cd flops cdmamba_v8_levircd --shape 512 512
"""
import argparse

from ..analysis.complexity import as_json, format_complexity, measure_complexity
from .experiment import add_config_arguments, read_config
from .json_option import add_json_argument, print_result

ERRORS = (OSError, KeyError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config_arguments(parser)
    parser.add_argument('--shape', type=int, nargs='+', default=[256], metavar='PX', help='side, or height and width')
    add_json_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Count and report."""
    complexity = measure_complexity(read_config(args), args.shape * 2 if len(args.shape) == 1 else args.shape)
    print_result(format_complexity(complexity), dict(config=args.config, **as_json(complexity)), args.json)
