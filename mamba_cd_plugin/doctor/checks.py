"""The checks of the doctor: each finds a problem of an installation and the command that fixes it."""
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .facts import ONEDL, OWNERS, TABLE, TORCH, Facts, Tried, find_tried, release, within

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
LEVELS = (ERROR, WARNING, NOTE)
# The first torch that was built for numpy 2.
NUMPY2_TORCH = '2.3'
# What to install for a module whose distribution has another name.
DISTRIBUTIONS = {'cv2': 'opencv-python', 'PIL': 'pillow', 'yaml': 'pyyaml', 'mpl_toolkits': 'matplotlib'}
STACK = ('mmengine', 'mmcv', 'mmseg', 'registration')
# By the first of these programs that is there.
COMPILER_INSTALLS = {
    'apt-get': 'sudo apt-get install --yes gcc libc6-dev',
    'dnf': 'sudo dnf install --assumeyes gcc',
    'conda': 'conda install --yes --channel conda-forge c-compiler',
}
# Names the index of each build; which is the right one, only the user's driver tells.
SELECTOR = 'https://pytorch.org/get-started/locally names the index of each build'


@dataclass(frozen=True)
class Problem:
    """A problem of an installation, or a note about it.

    Attributes:
        check: Name of the check.
        level: ``error``: something does not work; ``warning``: it is slow, or it was never tried; ``note``: good to
            know.
        message: Description of what was found and what was expected.
        remedy: Commands that fix it, one per line.
    """

    check: str
    level: str
    message: str
    remedy: str


def pip(*arguments: str) -> str:
    """A pip command, for this Python and no other."""
    return shlex.join([sys.executable, '-m', 'pip', *arguments])


def install(*rows: Tried) -> str:
    """The command that installs these."""
    return pip('install', *(row.requirement for row in rows))


def replace_stack(facts: Facts) -> str:
    """Remove the OpenMMLab stack and install the tested family.

    Installing alone would not do: removing a distribution later takes the files of the other along.
    """
    there = [name for folder in OWNERS for name in facts.owners(folder)]
    remove = [pip('uninstall', '--yes', *there)] if there else []
    return '\n'.join([*remove, install(*ONEDL)])


def find_missing_distributions(facts: Facts) -> Iterator[Problem]:
    """torch or a part of the OpenMMLab stack is not installed."""
    if TORCH.name not in facts.installed:
        yield Problem('missing', ERROR, 'torch is not installed', install(TORCH))
    missing = [folder for folder in OWNERS if not facts.owners(folder)]
    if missing:
        yield Problem('missing', ERROR, f'no distribution provides {", ".join(missing)}', replace_stack(facts))


def find_overlaid_distributions(facts: Facts) -> Iterator[Problem]:
    """Two distributions that own the same folder: the files are a mixture."""
    for folder in OWNERS:
        owners = [f'{name} {facts.installed[name]}' for name in facts.owners(folder)]
        if len(owners) > 1:
            yield Problem('overlaid', ERROR, f'{" and ".join(owners)} are installed over each other: both own the '
                          f'folder {folder}, of which the last one installed has overwritten a part',
                          replace_stack(facts))


def find_wrong_versions(facts: Facts) -> Iterator[Problem]:
    """Versions outside the bounds, and newer ones than any that was tried."""
    for row in TABLE:
        version = facts.installed.get(row.name, '')
        if not version or _is_reported_elsewhere(row.name, facts):
            continue
        if not within(version, row.bounds):
            # The maintained family is pinned to what the tests run on; another release of it is likely to work.
            level = WARNING if row in ONEDL else ERROR
            yield Problem('version', level, f'{row.name} {version}: expected {row.requirement}, tried with '
                          f'{row.version or "its interface alone"}', install(row))
        elif row.version and release(version)[:2] > release(row.version)[:2]:
            yield Problem('untried', NOTE, f'{row.name} {version} is newer than {row.version}, the newest that was '
                          'tried; if something fails, try that one', pip('install', f'{row.name}=={row.version}'))


def _is_reported_elsewhere(name: str, facts: Facts) -> bool:
    return name == 'mmcv' and any(find_refused_mmcv(facts))


def find_refused_mmcv(facts: Facts) -> Iterator[Problem]:
    """What upstream's mmseg does not accept as mmcv: releases from 2.2 on, and one without compiled ops."""
    mmseg, mmcv = facts.installed.get('mmsegmentation'), facts.owners('mmcv')
    if not mmseg or not mmcv:
        return
    version, wanted = facts.installed[mmcv[0]], find_tried('mmcv')
    if not within(version, wanted.bounds):
        yield Problem('mmcv_refused', ERROR, f'mmsegmentation {mmseg} refuses {mmcv[0]} {version} at import; it wants '
                      f'{wanted.requirement}, of which each release needs a matching torch, or the maintained family',
                      replace_stack(facts))
    elif mmcv == ['mmcv-lite']:
        yield Problem('mmcv_refused', ERROR, f'mmsegmentation {mmseg} imports the compiled operations of mmcv, which '
                      f'mmcv-lite {version} does not have (No module named mmcv._ext)', replace_stack(facts))


def find_numpy_mismatch(facts: Facts) -> Iterator[Problem]:
    """numpy 2 beside a torch that was built for numpy 1."""
    torch, numpy = facts.installed.get('torch', ''), facts.installed.get('numpy', '')
    if torch and release(numpy) >= (2, ) and not within(torch, f'>={NUMPY2_TORCH}'):
        yield Problem('numpy', ERROR, f'torch {torch} was built for numpy 1 and cannot read arrays of numpy {numpy}',
                      install(TORCH))


def find_failed_step(facts: Facts) -> Iterator[Problem]:
    """The step at which the probe failed."""
    name = facts.failed
    if name is None:
        return
    said = facts.probe[name]
    yield Problem('probe', ERROR, f'step {name!r} failed with {said["kind"]}: {said["error"]}', _remedy(name, facts))


def _remedy(name: str, facts: Facts) -> str:
    missing = (facts.probe[name].get('missing') or '').split('.')[0]
    if missing and missing not in ('torch', 'mmengine', 'mmcv', 'mmseg', 'mamba_cd_plugin'):
        return pip('install', DISTRIBUTIONS.get(missing, missing))
    if name == 'torch':
        return install(TORCH).replace('install', 'install --force-reinstall')
    if name in STACK:
        return replace_stack(facts)
    return 'report it with this text and what the command printed:\npython -m mamba_cd_plugin.doctor.probe'


def find_unused_cuda_build(facts: Facts) -> Iterator[Problem]:
    """A CUDA build of torch that finds no GPU."""
    torch = facts.probe.get('torch', {})
    if not torch.get('cuda') or torch.get('cuda_available'):
        return
    reinstall = pip('install', '--force-reinstall', 'torch', '--index-url', 'INDEX')
    build = f'torch {torch["version"]} is built for CUDA {torch["cuda"]}'
    if 'nvidia-smi' in facts.commands:
        yield Problem('cuda', WARNING, f'{build} and sees no device, though a driver is installed: usually the '
                      'driver is older than that CUDA version. Compare it with that of nvidia-smi, and choose the '
                      f'build for it ({SELECTOR})', f'nvidia-smi\n{reinstall}')
    else:
        yield Problem('cuda', NOTE, f'{build} and there is no GPU. It works, but takes gigabytes that the build for '
                      f'CPUs does not ({SELECTOR}, compute platform CPU)', reinstall)


def _scan(facts: Facts) -> dict[str, Any]:
    """The probe's facts about the scan; empty if it ended before."""
    said = facts.probe.get('scan', {})
    return {} if 'error' in said else said


def find_missing_mamba_kernel(facts: Facts) -> Iterator[Problem]:
    """mamba-ssm without its CUDA kernel, or a GPU on which the scan runs in plain torch."""
    scan, version = _scan(facts), facts.installed.get('mamba-ssm')
    if not scan.get('mamba_kernel'):
        return
    reason = scan['mamba_kernel'].split('; install a build')[0]
    if version:
        yield Problem('mamba_ssm', WARNING, f'mamba-ssm {version} is installed without a CUDA kernel that loads, and '
                      f'is not used: {reason}. Since June 2026 its default install does not build the kernel',
                      scan['mamba_install'])
    elif facts.probe.get('torch', {}).get('cuda_available') and scan.get('chosen') == 'torch':
        yield Problem('triton', WARNING, 'on this GPU the scan runs in plain torch, which is slower: '
                      f'{scan["unavailable"].get("triton", "")}. Install Triton, or mamba-ssm, whose kernel needs '
                      'nvcc to build', f'{pip("install", "triton")}\n{scan["mamba_install"]}')


def find_missing_compiler(facts: Facts) -> Iterator[Problem]:
    """No C compiler, or one that fails: the scan on the CPU is then plain torch."""
    scan = _scan(facts)
    reason = scan.get('unavailable', {}).get('c')
    if not reason:
        return
    if scan['compiler']:
        yield Problem('compiler', WARNING, f'the C kernel of the scan cannot be built with {scan["compiler"]}, and the '
                      f'scan on the CPU is slow (plain torch): {reason}', 'export CC=clang')
    else:
        yield Problem('compiler', WARNING, 'there is no C compiler: the scan on the CPU is slow (plain torch). Install '
                      'one and restart, or select another with CC', _compiler_install(facts))


def _compiler_install(facts: Facts) -> str:
    if sys.platform == 'darwin':
        return 'xcode-select --install'
    return next((command for name, command in COMPILER_INSTALLS.items() if name in facts.commands),
                COMPILER_INSTALLS['conda'])


def find_unusable_cache(facts: Facts) -> Iterator[Problem]:
    """A folder for the compiled kernel that cannot be written, or that others may write."""
    scan = _scan(facts)
    if scan.get('cache_unusable'):
        yield Problem('cache', WARNING, f'the compiled kernel cannot be kept in {scan["cache"]}: '
                      f'{scan["cache_unusable"]}. A temporary folder is used, so that it is compiled again and again. '
                      'Fix the permissions, or choose another folder',
                      f'chmod 700 {shlex.quote(scan["cache"])}\nexport MAMBA_CD_CACHE=FOLDER')


# To add a check, write a function and add it here.
CHECKS: tuple[Callable[[Facts], Iterator[Problem]], ...] = (
    find_missing_distributions, find_overlaid_distributions, find_refused_mmcv, find_wrong_versions,
    find_numpy_mismatch, find_failed_step, find_unused_cuda_build, find_missing_mamba_kernel, find_missing_compiler,
    find_unusable_cache)


def examine(facts: Facts) -> list[Problem]:
    """All problems, most severe first."""
    problems = [problem for check in CHECKS for problem in check(facts)]
    return sorted(problems, key=lambda problem: LEVELS.index(problem.level))
