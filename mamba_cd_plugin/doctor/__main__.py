"""Examine this installation: mamba-cd doctor, or python -m mamba_cd_plugin.doctor

Prints what a bug report needs, and for each problem the commands that fix it.
Exit status: 0 without errors, 1 with (with --strict: or with warnings).
"""
import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ..version import __version__
from .checks import ERROR, LEVELS, WARNING, Problem, examine
from .facts import OWNERS, Facts, find_tried, gather_facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('--json', action='store_true', help='write everything as JSON')
    parser.add_argument('--strict', action='store_true', help='warnings give exit status 1 too')


def run(args: argparse.Namespace) -> int:
    """Examine and report; returns the exit status."""
    facts = gather_facts()
    problems = examine(facts)
    text = json.dumps(as_json(facts, problems), indent=2) if args.json else format_report(facts, problems)
    sys.stdout.write(text + '\n')
    bad = (ERROR, WARNING) if args.strict else (ERROR, )
    return int(any(problem.level in bad for problem in problems))


def format_report(facts: Facts, problems: Sequence[Problem]) -> str:
    """The facts as lines, then each problem with the commands that fix it."""
    rows = list(_rows(facts))
    width = max(len(name) for name, _ in rows)
    lines = [f'{name.ljust(width)}  {text}' for name, text in rows]
    for problem in problems:
        lines += ['', f'{problem.level.upper()} {problem.check}: {problem.message}']
        lines += [f'    {command}' for command in problem.remedy.splitlines()]
    counts = {level: sum(problem.level == level for problem in problems) for level in LEVELS}
    lines += ['', ', '.join(f'{count} {level}{"" if count == 1 else "s"}' for level, count in counts.items())]
    return '\n'.join(lines)


def as_json(facts: Facts, problems: Sequence[Problem]) -> dict[str, Any]:
    """All facts and problems as plain data."""
    return dict(version=__version__, **asdict(facts), problems=[asdict(problem) for problem in problems])


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    yield 'mamba_cd_plugin', __version__
    yield from facts.machine.items()
    yield 'torch', _describe('torch', facts) + _torch_build(facts)
    for folder in OWNERS:
        yield folder, ' AND '.join(_describe(name, facts) for name in facts.owners(folder)) or 'not installed'
    for name in ('numpy', 'mamba-ssm'):
        yield name, _describe(name, facts)
    yield 'scan', _scan(facts)
    yield 'self-test', _self_test(facts)


def _describe(name: str, facts: Facts) -> str:
    if name not in facts.installed:
        return 'not installed'
    row = find_tried(name)
    tried = f' (tried: {row.version})' if row and row.version else ''
    return f'{name} {facts.installed[name]}{tried}'


def _torch_build(facts: Facts) -> str:
    said = facts.probe.get('torch', {})
    if 'version' not in said:
        return ''
    build = f'built for CUDA {said["cuda"]}' if said['cuda'] else 'CPU build'
    return f', {build}, device {said["device"]}, {said["threads"]} threads, {said["cpu"]}'


def _scan(facts: Facts) -> str:
    said = facts.probe.get('scan', {})
    if 'chosen' not in said:
        return 'not looked at, since an earlier step failed' if facts.failed != 'scan' else 'failed'
    reasons = '; '.join(f'{name}: {reason.splitlines()[0]}' for name, reason in said['unavailable'].items())
    return (f'{said["chosen"]}, {said["title"]}; compiler {_compiler(said)}, cache {said["cache"]}'
            + (f'; not available: {reasons}' if reasons else ''))


def _compiler(said: dict[str, Any]) -> str:
    return f'{said["compiler"]} ({said["compiler_version"]})' if said['compiler'] else 'none'


def _self_test(facts: Facts) -> str:
    if facts.failed:
        return f'failed at step {facts.failed!r}'
    steps = {name.split(': ')[1]: said['seconds'] for name, said in facts.probe.items() if name.startswith('self-test')}
    return 'passed: ' + ', '.join(f'{name} {seconds:.1f} s' for name, seconds in steps.items())


if __name__ == '__main__':
    command = argparse.ArgumentParser(prog='python -m mamba_cd_plugin.doctor', description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(command)
    sys.exit(run(command.parse_args()))
