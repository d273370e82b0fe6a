"""The check of whether everything imports and the self-test passes."""
from typing import Iterator

from ..facts import Facts
from ..finding import ERROR, Finding
from ..tried import TORCH
from .distributions import install, pip, replace_stack

# What to install for a module whose distribution has another name.
DISTRIBUTIONS = {'cv2': 'opencv-python', 'PIL': 'pillow', 'yaml': 'pyyaml', 'mpl_toolkits': 'matplotlib'}
STACK = ('mmengine', 'mmcv', 'mmseg', 'registration')


def find_failed_step(facts: Facts) -> Iterator[Finding]:
    """The step at which the probe ended."""
    name = facts.failed
    if name is None:
        return
    said = facts.probe[name]
    yield Finding('probe', ERROR, f'step {name!r} failed with {said["kind"]}: {said["error"]}', _remedy(name, facts))


def _remedy(name: str, facts: Facts) -> str:
    missing = (facts.probe[name].get('missing') or '').split('.')[0]
    if missing and missing not in ('torch', 'mmengine', 'mmcv', 'mmseg', 'mamba_cd_plugin'):
        return pip('install', DISTRIBUTIONS.get(missing, missing))
    if name == 'torch':
        return install(TORCH).replace('install', 'install --force-reinstall')
    if name in STACK:
        return replace_stack(facts)
    return 'report it with this text and what the command printed:\npython -m mamba_cd_plugin.doctor.probe'
