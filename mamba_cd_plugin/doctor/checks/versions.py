"""Checks of versions."""
from typing import Iterator

from ..facts import Facts
from ..finding import ERROR, NOTE, WARNING, Finding
from ..tried import ONEDL, TABLE, TORCH, find_tried, release, within
from .distributions import install, pip, replace_stack

# The first torch that was built for numpy 2.
NUMPY2_TORCH = '2.3'


def find_wrong_versions(facts: Facts) -> Iterator[Finding]:
    """Versions outside the bounds, and newer ones than any that was tried."""
    for row in TABLE:
        version = facts.installed.get(row.name, '')
        if not version or _is_reported_elsewhere(row.name, facts):
            continue
        if not within(version, row.bounds):
            # The maintained family is pinned to what the tests run on; another release of it is likely to work.
            level = WARNING if row in ONEDL else ERROR
            yield Finding('version', level, f'{row.name} {version}: expected {row.requirement}, tried with '
                          f'{row.version or "its interface alone"}', install(row))
        elif row.version and release(version)[:2] > release(row.version)[:2]:
            yield Finding('untried', NOTE, f'{row.name} {version} is newer than {row.version}, the newest that was '
                          'tried; should something fail, try that one', pip('install', f'{row.name}=={row.version}'))


def _is_reported_elsewhere(name: str, facts: Facts) -> bool:
    return name == 'mmcv' and any(find_refused_mmcv(facts))


def find_refused_mmcv(facts: Facts) -> Iterator[Finding]:
    """What upstream's mmseg does not accept as mmcv: releases from 2.2 on, and one without compiled ops."""
    mmseg, mmcv = facts.installed.get('mmsegmentation'), facts.owners('mmcv')
    if not mmseg or not mmcv:
        return
    version, wanted = facts.installed[mmcv[0]], find_tried('mmcv')
    if not within(version, wanted.bounds):
        yield Finding('mmcv_refused', ERROR, f'mmsegmentation {mmseg} refuses {mmcv[0]} {version} at import; it wants '
                      f'{wanted.requirement}, of which each release needs a matching torch, or the maintained family',
                      replace_stack(facts))
    elif mmcv == ['mmcv-lite']:
        yield Finding('mmcv_refused', ERROR, f'mmsegmentation {mmseg} imports the compiled operations of mmcv, which '
                      f'mmcv-lite {version} does not have (No module named mmcv._ext)', replace_stack(facts))


def find_numpy_mismatch(facts: Facts) -> Iterator[Finding]:
    """numpy 2 beside a torch that was built for numpy 1."""
    torch, numpy = facts.installed.get('torch', ''), facts.installed.get('numpy', '')
    if torch and release(numpy) >= (2, ) and not within(torch, f'>={NUMPY2_TORCH}'):
        yield Finding('numpy', ERROR, f'torch {torch} was built for numpy 1 and cannot read arrays of numpy {numpy}',
                      install(TORCH))
