"""Parameters and FLOPs of a config's model, part by part, the selective scan included.

    mamba-cd flops cdmamba_v8_levircd --shape 512 512
"""
import argparse
import json

from mmengine.logging import print_log

from ..analysis.complexity import as_json, format_complexity, measure_complexity
from ..io.files import output_file
from .experiment import add_config_arguments, read_config

ERRORS = (OSError, KeyError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_config_arguments(parser)
    parser.add_argument('--shape', type=int, nargs='+', default=[256], metavar='PX', help='side, or height and width')
    parser.add_argument('--json', metavar='FILE', help='write everything to this file too; - for stdout only')


def run(args: argparse.Namespace) -> None:
    """Count and report."""
    complexity = measure_complexity(read_config(args), args.shape * 2 if len(args.shape) == 1 else args.shape)
    text = json.dumps(dict(config=args.config, **as_json(complexity)), indent=2)
    if args.json == '-':
        print_log(text)
    else:
        print_log(format_complexity(complexity))
        if args.json:
            with output_file(args.json, option='--json') as part:
                part.write_text(text, 'utf-8')
