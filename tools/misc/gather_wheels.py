"""Gather the wheels that a machine without a network needs, for its Python and platform.

Run it where there is a network, with a file that lists the packages which the other machine already has (pip list of
it, or one name a line; torch among them)::

    python tools/misc/gather_wheels.py --have packages.txt --python 3.12 --out wheels

and there: pip install --no-index --no-deps --target SITE wheels/*.whl && export PYTHONPATH=SITE
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# The stack that setup.py's extra `onedl` names, and what mmseg imports without naming it.
DEFAULT = ('onedl-mmengine==0.10.12', 'onedl-mmcv==2.3.6', 'onedl-mmsegmentation==1.4.2', 'ftfy', 'regex')
# manylinux tags that pip does not derive from each other, oldest last.
PLATFORMS = ('manylinux_2_28', 'manylinux_2_27', 'manylinux_2_17', 'manylinux2014', 'manylinux1')
# Of the same import name: either will do, and both in one environment overwrite each other's files.
SAME_IMPORT = {'opencv-python': ('opencv-python-headless', 'opencv-contrib-python', 'opencv-contrib-python-headless')}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('requirements', nargs='*', default=list(DEFAULT), help='default: the onedl stack')
    parser.add_argument('--have', type=Path, help='file with the packages that the other machine has')
    parser.add_argument('--python', default='3.12', help='version of Python there')
    parser.add_argument('--machine', default='x86_64', help='processor there')
    parser.add_argument('--out', type=Path, default=Path('wheels'))
    return parser.parse_args()


def read_names(path: Path) -> set[str]:
    """Canonical names in a list of packages: the first word of each line, without a version."""
    words = [line.split()[0] for line in path.read_text().splitlines() if line.split()]
    return {canonicalize_name(word.split('==')[0].rstrip(',')) for word in words}


def is_there(name: str, have: set[str]) -> bool:
    """Whether a package, or another of the same import name, is among those."""
    return any(canonicalize_name(other) in have for other in (name, *SAME_IMPORT.get(name, ())))


def _pip(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check', *arguments],
                          capture_output=True, text=True, check=False, env={**os.environ, **variables})


def get_wheel(requirement: Requirement, out: Path, python: str, machine: str) -> Path:
    """Download a wheel, or build one from source if what comes out runs on any Python and platform.

    Raises:
        RuntimeError: if there is neither.
    """
    wanted = f'{requirement.name}{requirement.specifier}'
    with tempfile.TemporaryDirectory() as folder:
        platforms = [f'--platform={name}_{machine}' for name in PLATFORMS]
        answer = _pip('download', '--no-deps', '--only-binary=:all:', f'--python-version={python}',
                      '--implementation=cp', *platforms, '--dest', folder, wanted)
        if answer.returncode != 0:
            # Without its compiled ops, which nothing here calls, mmcv is pure Python.
            answer = _pip('wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', folder, wanted,
                          MMCV_WITH_OPS='0')
        wheels = list(Path(folder).glob('*.whl'))
        if len(wheels) != 1:
            raise RuntimeError(f'no wheel of {wanted} for Python {python}: {answer.stderr.strip()[-500:]}')
        if answer.args[5] == 'wheel' and not wheels[0].name.endswith('-none-any.whl'):
            raise RuntimeError(f'{wheels[0].name}, built from source here, is bound to this machine; give one for '
                               f'Python {python} yourself')
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheels[0], out / wheels[0].name))


def needs(wheel: Path, python: str, machine: str) -> list[Requirement]:
    """What a wheel requires on the other machine, extras left out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith('.dist-info/METADATA'))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    there = dict(extra='', python_version=python, python_full_version=f'{python}.0', sys_platform='linux',
                 platform_system='Linux', platform_machine=machine, os_name='posix',
                 implementation_name='cpython', platform_python_implementation='CPython')
    found = [Requirement(line) for line in metadata.get_all('Requires-Dist', [])]
    return [requirement for requirement in found if requirement.marker is None or requirement.marker.evaluate(there)]


def main() -> None:
    """Gather the wheels of all requirements and of what these need, unless the other machine has it."""
    args = parse_args()
    have = read_names(args.have) if args.have else set()
    waiting = [Requirement(text) for text in args.requirements]
    total = 0
    while waiting:
        requirement = waiting.pop(0)
        if is_there(canonicalize_name(requirement.name), have):
            continue
        have.add(canonicalize_name(requirement.name))
        try:
            wheel = get_wheel(requirement, args.out, args.python, args.machine)
        except RuntimeError as error:
            raise SystemExit(f'error: {error}') from error
        total += wheel.stat().st_size
        print(f'{wheel.stat().st_size / 2**20:7.2f} MiB  {wheel.name}')
        waiting += needs(wheel, args.python, args.machine)
    print(f'{total / 2**20:7.2f} MiB  in {args.out}')


if __name__ == '__main__':
    main()
