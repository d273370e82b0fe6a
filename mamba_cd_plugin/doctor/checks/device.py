"""Checks of the device."""
from typing import Iterator

from ..facts import Facts
from ..finding import NOTE, WARNING, Finding
from .distributions import pip

# Names the index of each build; which is the right one, only the user's driver tells.
SELECTOR = 'https://pytorch.org/get-started/locally names the index of each build'
REINSTALL = pip('install', '--force-reinstall', 'torch', '--index-url', 'INDEX')


def find_unused_cuda_build(facts: Facts) -> Iterator[Finding]:
    """A build for GPUs that sees none."""
    torch = facts.probe.get('torch', {})
    if not torch.get('cuda') or torch.get('cuda_available'):
        return
    build = f'torch {torch["version"]} is built for CUDA {torch["cuda"]}'
    if 'nvidia-smi' in facts.commands:
        yield Finding('cuda', WARNING, f'{build} and sees no device, though a driver is installed: mostly the driver '
                      'is older than that CUDA. Compare with the version that nvidia-smi names, and choose the build '
                      f'for it ({SELECTOR})', f'nvidia-smi\n{REINSTALL}')
    else:
        yield Finding('cuda', NOTE, f'{build} and there is no GPU. It works, but takes gigabytes that the build for '
                      f'CPUs does not ({SELECTOR}, compute platform CPU)', REINSTALL)
