"""Facts about an installation, gathered without importing it, and the tested versions.

The versions are compared by hand, not by packaging: the doctor also runs where no package is installed at all.
"""
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..analysis.machine import read_processor

# The self-test takes some ten seconds; a cold file system and a busy machine, minutes.
TIME_LIMIT = 300.
# What -march=native decides the kernel's speed by.
VECTOR_FLAGS = ('avx512f', 'avx2', 'avx', 'fma', 'sse4_2', 'asimd', 'sve')
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tried:
    """A distribution and its tested version.

    Attributes:
        name: Name of the distribution on PyPI.
        folder: Name of the package that is imported.
        bounds: Version bounds as in pyproject.toml, '' for none.
        version: Version the tests were run with.
    """

    name: str
    folder: str
    bounds: str
    version: str

    @property
    def requirement(self) -> str:
        """Requirement as in pyproject.toml."""
        return self.name + self.bounds


# The OpenMMLab stack comes in two families, each of which owns the folders mmengine, mmcv and mmseg.
ONEDL = (
    Tried('onedl-mmengine', 'mmengine', '==0.10.12', '0.10.12'),
    Tried('onedl-mmcv', 'mmcv', '==2.3.6', '2.3.6'),
    Tried('onedl-mmsegmentation', 'mmseg', '==1.4.2', '1.4.2'),
)
UPSTREAM = (
    Tried('mmengine', 'mmengine', '>=0.10.4,<0.11', '0.10.7'),
    Tried('mmcv', 'mmcv', '>=2.0.0,<2.2', '2.1.0'),
    Tried('mmsegmentation', 'mmseg', '>=1.2,<1.3', '1.2.2'),
)
TORCH = Tried('torch', 'torch', '>=2.6', '2.13.0')
OTHERS = (
    TORCH,
    Tried('numpy', 'numpy', '', '2.4.6'),
    Tried('mamba-ssm', 'mamba_ssm', '>=2.2', ''),  # needs a GPU to build; its interface alone is tested
)
# Every distribution that installs one of the stack's folders.
OWNERS = {
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
}
TABLE = (*ONEDL, *UPSTREAM, *OTHERS)


def find_tried(name: str) -> Tried | None:
    """The row of a distribution."""
    return next((row for row in TABLE if row.name == name), None)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: '2.13.0+cpu' gives (2, 13, 0).

    Not by packaging: the doctor needs nothing but Python, since any package may be missing.
    """
    match = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, match.group().split('.'))) if match else ()


def within(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as '>=2.0.0,<2.2'."""
    return all(_compare(release(version), part) for part in bounds.split(',') if part)


def _compare(version: tuple[int, ...], bound: str) -> bool:
    operator, limit = re.fullmatch(r'(>=|<|==)(.+)', bound).groups()
    limit = release(limit)
    length = max(len(version), len(limit))
    version, limit = (numbers + (0, ) * (length - len(numbers)) for numbers in (version, limit))
    return {'>=': version >= limit, '<': version < limit, '==': version == limit}[operator]


@dataclass(frozen=True)
class Facts:
    """An installation.

    Attributes:
        machine: Python, system, processor, by name, for the report.
        installed: Version of each distribution of interest that is installed, by its normalised name.
        probe: Results of the steps of :mod:`.probe`, in order; a step with the key ``error`` is the last.
        commands: Programs found on the PATH, such as nvidia-smi.
    """

    machine: dict[str, str]
    installed: dict[str, str]
    probe: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: tuple[str, ...] = ()

    def owners(self, folder: str) -> list[str]:
        """The installed distributions that own a folder of the OpenMMLab stack."""
        return [name for name in OWNERS[folder] if name in self.installed]

    @property
    def failed(self) -> str | None:
        """The step at which the probe ended, None if it came through."""
        return next((name for name, said in self.probe.items() if 'error' in said), None)


def gather_facts() -> Facts:
    """Gather all facts, which takes about ten seconds: importing torch, and the self-test."""
    commands = tuple(name for name in ('nvidia-smi', 'apt-get', 'dnf', 'conda') if shutil.which(name))
    return Facts(describe_machine(), find_installed(), run_probe(), commands)


def describe_machine() -> dict[str, str]:
    """Descriptions of Python, system and processor."""
    model, flags = read_processor()
    vectors = ' '.join(flag for flag in VECTOR_FLAGS if flag in flags)
    return {
        'python': f'{platform.python_version()}, {sys.executable}',
        'system': platform.platform(),
        'processor': f'{model}, {os.cpu_count()} cores, {vectors or "vector extensions unknown"}',
    }


def find_installed(path: Sequence[str] | None = None) -> dict[str, str]:
    """Versions of the distributions of interest by their metadata.

    Args:
        path: Folders to look in instead of ``sys.path``.
    """
    wanted = {row.name for row in TABLE} | {name for names in OWNERS.values() for name in names}
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=sys.path if path is None else list(path)):
        name = re.sub(r'[-_.]+', '-', distribution.metadata['Name'] or '').lower()
        if name in wanted:
            found.setdefault(name, distribution.version)  # the first on the path is the one that is imported
    return found


def run_probe(time_limit: float = TIME_LIMIT) -> dict[str, dict[str, Any]]:
    """Run the probe in a separate process.

    Args:
        time_limit: Time limit in seconds.

    Returns:
        What each step said, by its name; see :class:`Facts`.
    """
    # Without its site where this Python has none, so that both see the same packages.
    command = [sys.executable, *(['-S'] if sys.flags.no_site else []), '-m', f'{__package__}.probe']
    # Found as this package was found, wherever the doctor was started.
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.getenv('PYTHONPATH')])))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=time_limit, env=environment, check=False)
        output, ended = done.stdout, done.stderr.strip()[-2000:] or f'exit status {done.returncode}'
    except subprocess.TimeoutExpired as error:
        output, ended = str(error.stdout or ''), f'it took more than {time_limit:g} s'
        output = output.decode() if isinstance(output, bytes) else output
    probe = {}
    for line in output.splitlines():
        if line.startswith('{"step"'):  # compiled libraries may print as well
            said = json.loads(line)
            probe[said.pop('step')] = said
    return finish_probe(probe, ended)


def finish_probe(probe: dict[str, dict[str, Any]], ended: str) -> dict[str, dict[str, Any]]:
    """Mark the step that was running when the process ended as failed.

    Args:
        probe: Output of the steps; each step reports its start first.
        ended: Description of how the process ended.
    """
    for said in probe.values():
        if said.get('started'):
            said.update(error=f'the process ended: {ended}', kind='Crash')
    return probe
