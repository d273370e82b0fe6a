"""Checks of what the selective scan needs to be fast."""
import shlex
import sys
from typing import Any, Iterator

from ..facts import Facts
from ..finding import NOTE, WARNING, Finding

# By the first of these programs that is there.
COMPILER_INSTALLS = {
    'apt-get': 'sudo apt-get install --yes gcc libc6-dev',
    'dnf': 'sudo dnf install --assumeyes gcc',
    'conda': 'conda install --yes --channel conda-forge c-compiler',
}


def _scan(facts: Facts) -> dict[str, Any]:
    """What the probe says of the scan; empty if it did not get that far."""
    said = facts.probe.get('scan', {})
    return {} if 'error' in said else said


def find_missing_mamba_kernel(facts: Facts) -> Iterator[Finding]:
    """mamba-ssm without its CUDA kernel, or a GPU without mamba-ssm."""
    scan, version = _scan(facts), facts.installed.get('mamba-ssm')
    if not scan.get('mamba_kernel'):
        return
    reason = scan['mamba_kernel'].split('; install a build')[0]
    if version:
        yield Finding('mamba_ssm', WARNING, f'mamba-ssm {version} is installed without a CUDA kernel that loads, and '
                      f'is not used: {reason}. Since June 2026 its default install does not build the kernel',
                      scan['mamba_install'])
    elif facts.probe.get('torch', {}).get('cuda_available'):
        yield Finding('mamba_ssm', NOTE, 'mamba-ssm is not installed: on this GPU the scan runs in plain torch, which '
                      'is slower; its kernel needs nvcc to build', scan['mamba_install'])


def find_missing_compiler(facts: Facts) -> Iterator[Finding]:
    """No C compiler, or one that fails: the scan on the CPU is then plain torch."""
    scan = _scan(facts)
    reason = scan.get('unavailable', {}).get('c')
    if not reason:
        return
    if scan['compiler']:
        yield Finding('compiler', WARNING, f'the C kernel of the scan cannot be built with {scan["compiler"]}, and the '
                      f'scan on the CPU is slow (plain torch): {reason}', 'export CC=clang')
    else:
        yield Finding('compiler', WARNING, 'there is no C compiler: the scan on the CPU is slow (plain torch). After '
                      'installing one, start anew; or name another with CC', _compiler_install(facts))


def _compiler_install(facts: Facts) -> str:
    if sys.platform == 'darwin':
        return 'xcode-select --install'
    return next((command for name, command in COMPILER_INSTALLS.items() if name in facts.commands),
                COMPILER_INSTALLS['conda'])


def find_unusable_cache(facts: Facts) -> Iterator[Finding]:
    """A folder for the compiled kernel that cannot be written, or that others may write."""
    scan = _scan(facts)
    if scan.get('cache_unusable'):
        yield Finding('cache', WARNING, f'the compiled kernel cannot be kept in {scan["cache"]}: '
                      f'{scan["cache_unusable"]}. A temporary folder is used, so that it is compiled again and again. '
                      'Mend the permissions, or name a folder of your own',
                      f'chmod 700 {shlex.quote(scan["cache"])}\nexport MAMBA_CD_CACHE=FOLDER')
