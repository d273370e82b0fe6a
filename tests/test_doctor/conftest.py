"""Installations to examine, most of them broken."""
from collections.abc import Callable
from pathlib import Path

import pytest

from mamba_cd_plugin.doctor import Facts
from mamba_cd_plugin.doctor.facts import ONEDL, OTHERS

# What the probe says on a sound machine with a CPU.
SOUND_PROBE = {
    'torch': dict(version='2.13.0', cuda=None, cuda_available=False, device='cpu', threads=2, cpu='AVX2', seconds=1.),
    'mmengine': dict(version='0.10.12', file='mmengine', seconds=1.),
    'scan': dict(chosen='c', title='compiled C kernel', unavailable={'mamba_ssm': 'torch sees no CUDA device'},
                 compiler='cc', compiler_version='cc 12', cache='/home/me/.cache/mamba_cd_plugin', cache_unusable='',
                 mamba_kernel='the extension selective_scan_cuda does not load', mamba_install='INSTALL mamba-ssm',
                 seconds=1.),
    'self-test: build': dict(parameters=1, seconds=0.1),
}


@pytest.fixture
def make_facts() -> Callable[..., Facts]:
    """A sound installation of the maintained family, with changes.

    ``probe`` gives what steps say otherwise; every other keyword is a distribution, with its version or None.
    """

    def make(probe: dict = None, commands: tuple = (), **versions: str) -> Facts:
        installed = {row.name: row.version for row in (*ONEDL, *OTHERS) if row.version}
        installed.update({name.replace('_', '-'): version for name, version in versions.items()})
        said = {step: dict(SOUND_PROBE[step], **(probe or {}).get(step, {})) for step in SOUND_PROBE}
        return Facts(dict(python='3.11'), {name: v for name, v in installed.items() if v}, said, commands)

    return make


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """A folder of packages with the metadata of these distributions, and modules that only have a version."""

    def write(*distributions: str, **modules: str) -> Path:
        site = tmp_path / 'site'
        for distribution in distributions:
            name, version = distribution.split('==')
            folder = site / f'{name.replace("-", "_")}-{version}.dist-info'
            folder.mkdir(parents=True)
            (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        for module, text in modules.items():
            (site / module).mkdir(parents=True)
            (site / module / '__init__.py').write_text(text)
        return site

    return write
