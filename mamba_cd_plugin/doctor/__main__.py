"""Diagnose this installation: python -m mamba_cd_plugin.doctor

Prints what a bug report needs, and for each finding the commands that mend it.
Exit status: 0 without errors, 1 with (with --strict: or with warnings).
"""
import argparse
import json
import sys

from . import ERROR, WARNING, examine, gather_facts
from .report import as_json, format_report


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog='python -m mamba_cd_plugin.doctor', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='write everything as JSON')
    parser.add_argument('--strict', action='store_true', help='warnings give exit status 1 too')
    return parser.parse_args()


def main() -> int:
    """Look, and say what was found."""
    args = parse_args()
    facts = gather_facts()
    findings = examine(facts)
    text = json.dumps(as_json(facts, findings), indent=2) if args.json else format_report(facts, findings)
    sys.stdout.write(text + '\n')
    bad = (ERROR, WARNING) if args.strict else (ERROR, )
    return int(any(finding.level in bad for finding in findings))


if __name__ == '__main__':
    sys.exit(main())
