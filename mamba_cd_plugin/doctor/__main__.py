"""Examine this installation: mamba-cd doctor, or python -m mamba_cd_plugin.doctor

Prints what a bug report needs, and for each finding the commands that mend it.
Exit status: 0 without errors, 1 with (with --strict: or with warnings).
"""
import argparse
import json
import sys

from . import ERROR, WARNING, examine, gather_facts
from .report import as_json, format_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('--json', action='store_true', help='write everything as JSON')
    parser.add_argument('--strict', action='store_true', help='warnings give exit status 1 too')


def run(args: argparse.Namespace) -> int:
    """Look, and say what was found; the exit status."""
    facts = gather_facts()
    findings = examine(facts)
    text = json.dumps(as_json(facts, findings), indent=2) if args.json else format_report(facts, findings)
    sys.stdout.write(text + '\n')
    bad = (ERROR, WARNING) if args.strict else (ERROR, )
    return int(any(finding.level in bad for finding in findings))


if __name__ == '__main__':
    command = argparse.ArgumentParser(prog='python -m mamba_cd_plugin.doctor', description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(command)
    sys.exit(run(command.parse_args()))
