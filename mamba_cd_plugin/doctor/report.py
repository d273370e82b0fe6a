"""The doctor's report: what a bug report needs, as text or JSON."""
from dataclasses import asdict
from typing import Any, Iterator, Sequence

from mamba_cd_plugin.version import __version__

from .facts import Facts
from .finding import LEVELS, Finding
from .tried import OWNERS, find_tried

SCANS = {'mamba_ssm': "mamba-ssm's CUDA kernel", 'c': 'compiled C kernel', 'torch': 'plain torch'}


def format_report(facts: Facts, findings: Sequence[Finding]) -> str:
    """The facts as lines, then each finding with the commands that mend it."""
    rows = list(_rows(facts))
    width = max(len(name) for name, _ in rows)
    lines = [f'{name.ljust(width)}  {text}' for name, text in rows]
    for finding in findings:
        lines += ['', f'{finding.level.upper()} {finding.check}: {finding.message}']
        lines += [f'    {command}' for command in finding.remedy.splitlines()]
    counts = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    lines += ['', ', '.join(f'{count} {level}{"" if count == 1 else "s"}' for level, count in counts.items())]
    return '\n'.join(lines)


def as_json(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    """Everything, for scripts."""
    return dict(version=__version__, **asdict(facts), findings=[asdict(finding) for finding in findings])


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
    return (f'{said["chosen"]}, {SCANS[said["chosen"]]}; compiler {_compiler(said)}, cache {said["cache"]}'
            + (f'; not available: {reasons}' if reasons else ''))


def _compiler(said: dict[str, Any]) -> str:
    return f'{said["compiler"]} ({said["compiler_version"]})' if said['compiler'] else 'none'


def _self_test(facts: Facts) -> str:
    if facts.failed:
        return f'failed at step {facts.failed!r}'
    steps = {name.split(': ')[1]: said['seconds'] for name, said in facts.probe.items() if name.startswith('self-test')}
    return 'passed: ' + ', '.join(f'{name} {seconds:.1f} s' for name, seconds in steps.items())
