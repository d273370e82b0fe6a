"""The table of versions that were tried."""
import re
import runpy
from pathlib import Path

import pytest
import setuptools

from mamba_cd_plugin.doctor.tried import ONEDL, TORCH, UPSTREAM, find_tried, release, within

ROOT = Path(__file__).parents[2]


@pytest.fixture
def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What setup.py hands to setuptools."""
    arguments = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **kwargs: arguments.update(kwargs))
    runpy.run_path(str(ROOT / 'setup.py'))
    return arguments


def test_the_table_has_the_bounds_of_setup_py(setup_arguments: dict) -> None:
    extras = setup_arguments['extras_require']
    assert [row.requirement for row in ONEDL] == extras['onedl']
    assert {row.requirement for row in UPSTREAM} == set(extras['upstream']) - {'ftfy', 'regex'}
    assert TORCH.requirement in setup_arguments['install_requires']
    assert [find_tried('mamba-ssm').requirement] == extras['mamba']


def test_the_table_has_the_torch_of_the_makefile() -> None:
    makefile = (ROOT / 'Makefile').read_text()
    assert re.search(r'^TORCH \?= torch==(.+)$', makefile, re.MULTILINE).group(1) == TORCH.version


def test_what_was_tried_lies_within_the_bounds() -> None:
    for row in (*ONEDL, *UPSTREAM, TORCH):
        assert within(row.version, row.bounds), row


@pytest.mark.parametrize(('version', 'expected'), [('2.13.0+cpu', (2, 13, 0)), ('2.0.0rc4', (2, 0, 0)), ('4', (4, )),
                                                   ('unknown', ())])
def test_release(version: str, expected: tuple) -> None:
    assert release(version) == expected


@pytest.mark.parametrize(('version', 'bounds', 'expected'), [
    ('2.1.0', '>=2.0.0,<2.2', True), ('2.2.0', '>=2.0.0,<2.2', False), ('2.2', '>=2.0.0,<2.2', False),
    ('1.7.2', '>=2.0.0,<2.2', False), ('2.10.0', '>=2.6', True), ('2.6', '>=2.6.0', True),
    ('0.10.12', '==0.10.12', True), ('0.10.13', '==0.10.12', False), ('1.2', '==1.2.0', True), ('9', '', True),
])
def test_within(version: str, bounds: str, expected: bool) -> None:
    assert within(version, bounds) is expected
