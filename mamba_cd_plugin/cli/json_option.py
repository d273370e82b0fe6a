"""The option --json of the commands that print a result."""
import argparse
import json

from mmengine.logging import print_log

from ..io.files import output_file


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument('--json', metavar='FILE', help='also write the result to this file; - prints JSON instead')


def print_result(text: str, content: dict, json_file: str | None) -> None:
    """Print a result, and write it as JSON where that is asked for.

    Args:
        text: The result for a reader.
        content: The same as data, for a program.
        json_file: The value of --json.
    """
    as_json = json.dumps(content, indent=2)
    print_log(as_json if json_file == '-' else text)
    if json_file and json_file != '-':
        with output_file(json_file, option='--json') as part:
            part.write_text(as_json, 'utf-8')
