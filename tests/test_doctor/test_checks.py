"""Each planted fault is named, with the command that mends it; the table of versions that were tried."""
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mamba_cd_plugin.doctor import Facts, examine
from mamba_cd_plugin.doctor.facts import (
    ONEDL,
    TORCH,
    UPSTREAM,
    find_installed,
    find_tried,
    finish_probe,
    release,
    within,
)

ROOT = Path(__file__).parents[2]
Make = Callable[..., Facts]
NO_STACK = dict(onedl_mmengine=None, onedl_mmcv=None, onedl_mmsegmentation=None)
UPSTREAM_VERSIONS = dict(NO_STACK, mmengine='0.10.7', mmcv='2.1.0', mmsegmentation='1.2.2')
ONEDL_COMMAND = '-m pip install onedl-mmengine==0.10.12 onedl-mmcv==2.3.6 onedl-mmsegmentation==1.4.2'


def only(facts: Facts):
    """The one finding."""
    finding, = examine(facts)
    return finding


@pytest.mark.parametrize('versions', [{}, UPSTREAM_VERSIONS, {'torch': '2.6.0+cpu'}])
def test_nothing_is_found_in_sound_installations(make_facts: Make, versions: dict) -> None:
    assert examine(make_facts(**versions)) == []


def test_mmcv_too_new_for_upstream_mmseg(make_facts: Make) -> None:
    finding = only(make_facts(**dict(UPSTREAM_VERSIONS, mmcv='2.2.0')))
    assert (finding.check, finding.level) == ('mmcv_refused', 'error')
    assert 'mmsegmentation 1.2.2 refuses mmcv 2.2.0 at import; it wants mmcv>=2.0.0,<2.2' in finding.message
    remove, install = finding.remedy.splitlines()
    assert remove.endswith('-m pip uninstall --yes mmengine mmcv mmsegmentation')
    assert install.endswith(ONEDL_COMMAND)


def test_the_maintained_mmcv_under_upstream_mmseg(make_facts: Make) -> None:
    finding = only(make_facts(onedl_mmsegmentation=None, mmsegmentation='1.2.2'))
    assert 'mmsegmentation 1.2.2 refuses onedl-mmcv 2.3.6' in finding.message


def test_mmcv_lite_under_upstream_mmseg(make_facts: Make) -> None:
    finding = only(make_facts(**dict(UPSTREAM_VERSIONS, mmcv=None, mmcv_lite='2.1.0')))
    assert finding.check == 'mmcv_refused' and 'No module named mmcv._ext' in finding.message


def test_torch_too_old(make_facts: Make) -> None:
    finding = only(make_facts(torch='2.5.1+cu121'))
    assert (finding.check, finding.level) == ('version', 'error')
    assert 'torch 2.5.1+cu121: expected torch>=2.6, tried with 2.13.0' in finding.message
    assert finding.remedy.endswith("-m pip install 'torch>=2.6'")


def test_two_distributions_over_each_other(make_facts: Make) -> None:
    overlaid, refused = examine(make_facts(mmcv='2.1.0', mmsegmentation='1.2.2'))[:2]
    assert (overlaid.check, overlaid.level) == ('overlaid', 'error')
    assert 'mmcv 2.1.0 and onedl-mmcv 2.3.6 are installed over each other' in overlaid.message
    assert 'mmsegmentation 1.2.2 and onedl-mmsegmentation 1.4.2' in refused.message
    remove, install = overlaid.remedy.splitlines()
    assert remove.endswith('uninstall --yes onedl-mmengine mmcv onedl-mmcv mmsegmentation onedl-mmsegmentation')
    assert install.endswith(ONEDL_COMMAND)


def test_mamba_ssm_without_its_kernel(make_facts: Make) -> None:
    finding = only(make_facts(mamba_ssm='2.3.0'))
    assert (finding.check, finding.level) == ('mamba_ssm', 'warning')
    assert 'mamba-ssm 2.3.0 is installed without a CUDA kernel' in finding.message
    assert 'selective_scan_cuda does not load' in finding.message
    assert finding.remedy == 'INSTALL mamba-ssm'


@pytest.mark.parametrize(('commands', 'remedy'), [(('apt-get', ), 'sudo apt-get install --yes gcc libc6-dev'),
                                                  (('dnf', ), 'sudo dnf install --assumeyes gcc'),
                                                  ((), 'conda install --yes --channel conda-forge c-compiler')])
def test_no_c_compiler(make_facts: Make, monkeypatch: pytest.MonkeyPatch, commands: tuple, remedy: str) -> None:
    monkeypatch.setattr('sys.platform', 'linux')
    scan = dict(chosen='torch', compiler='', compiler_version='', unavailable={'c': 'no C compiler found'})
    finding = only(make_facts({'scan': scan}, commands))
    assert (finding.check, finding.level) == ('compiler', 'warning')
    assert 'there is no C compiler: the scan on the CPU is slow' in finding.message
    assert finding.remedy == remedy


def test_a_compiler_that_fails(make_facts: Make) -> None:
    finding = only(make_facts({'scan': dict(chosen='torch', unavailable={'c': 'cc: error: no such header'})}))
    assert 'cannot be built with cc' in finding.message and 'no such header' in finding.message


def test_read_only_cache(make_facts: Make) -> None:
    finding = only(make_facts({'scan': dict(cache='/opt/a b', cache_unusable='[Errno 30] Read-only file system')}))
    assert (finding.check, finding.level) == ('cache', 'warning')
    assert 'cannot be kept in /opt/a b: [Errno 30] Read-only file system' in finding.message
    assert finding.remedy == "chmod 700 '/opt/a b'\nexport MAMBA_CD_CACHE=FOLDER"


def test_numpy_2_beside_an_old_torch(make_facts: Make) -> None:
    checks = [finding.check for finding in examine(make_facts(torch='2.2.2'))]
    assert checks == ['version', 'numpy']


@pytest.mark.parametrize(('commands', 'level', 'remedy'), [((), 'note', 'torch --index-url INDEX'),
                                                           (('nvidia-smi', ), 'warning', 'torch --index-url INDEX')])
def test_cuda_build_without_gpu(make_facts: Make, commands: tuple, level: str, remedy: str) -> None:
    finding = only(make_facts({'torch': dict(cuda='12.8')}, commands))
    assert (finding.check, finding.level) == ('cuda', level)
    assert 'is built for CUDA 12.8' in finding.message and finding.remedy.endswith(remedy)


@pytest.mark.parametrize('chosen', ['triton', 'mamba_ssm'])
def test_gpu_with_a_fast_scan(make_facts: Make, chosen: str) -> None:
    probe = {'torch': dict(cuda='12.8', cuda_available=True, device='A100'), 'scan': dict(chosen=chosen)}
    assert examine(make_facts(probe)) == []


def test_gpu_without_a_fast_scan(make_facts: Make) -> None:
    scan = dict(chosen='torch', unavailable={'triton': 'triton does not import'})
    finding = only(make_facts({'torch': dict(cuda='12.8', cuda_available=True, device='A100'), 'scan': scan}))
    assert (finding.check, finding.level) == ('triton', 'warning') and 'triton does not import' in finding.message
    assert finding.remedy.endswith('-m pip install triton\nINSTALL mamba-ssm')


def test_other_release_of_the_maintained_family(make_facts: Make) -> None:
    assert [(f.check, f.level) for f in examine(make_facts(onedl_mmcv='2.3.7'))] == [('version', 'warning')]


def test_newer_than_what_was_tried(make_facts: Make) -> None:
    finding = only(make_facts(torch='2.14.0'))
    assert (finding.check, finding.level) == ('untried', 'note')
    assert finding.remedy.endswith('-m pip install torch==2.13.0')


def test_nothing_installed(make_facts: Make) -> None:
    torch, stack = examine(make_facts(torch=None, numpy=None, **NO_STACK))
    assert torch.remedy.endswith("-m pip install 'torch>=2.6'")
    assert 'no distribution provides mmengine, mmcv, mmseg' in stack.message
    assert stack.remedy.endswith(ONEDL_COMMAND) and '\n' not in stack.remedy


@pytest.mark.parametrize(('step', 'missing', 'remedy'), [
    ('mmseg', 'ftfy', '-m pip install ftfy'), ('mmcv', 'cv2', '-m pip install opencv-python'),
    ('registration', 'mmcv._ext', ONEDL_COMMAND), ('torch', None, '--force-reinstall \'torch>=2.6\''),
    ('self-test: build', None, 'python -m mamba_cd_plugin.doctor.probe')])
def test_a_step_that_fails(make_facts: Make, step: str, missing: str, remedy: str) -> None:
    facts = make_facts()
    facts.probe[step] = dict(error='it broke', kind='ImportError', missing=missing)
    finding = only(facts)
    assert finding.level == 'error' and f"step '{step}' failed with ImportError: it broke" in finding.message
    assert finding.remedy.endswith(remedy)


def test_a_crash_is_blamed_on_the_step_under_way() -> None:
    probe = finish_probe({'torch': dict(seconds=1.), 'scan': dict(started=True)}, 'Segmentation fault')
    assert 'error' not in probe['torch']
    assert probe['scan']['error'] == 'the process ended: Segmentation fault'


def test_distributions_are_found_by_their_metadata(plant: Callable) -> None:
    site = plant('onedl-mmcv==2.3.6', 'MMCV==2.1.0', 'something-else==1.0')
    assert find_installed([str(site)]) == {'onedl-mmcv': '2.3.6', 'mmcv': '2.1.0'}


def test_the_table_has_the_bounds_of_pyproject() -> None:
    tomllib = pytest.importorskip('tomllib', reason='Python 3.10 has none')
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text('utf-8'))['project']
    extras = project['optional-dependencies']
    assert [row.requirement for row in ONEDL] == extras['onedl']
    assert {row.requirement for row in UPSTREAM} == set(extras['upstream']) - {'ftfy', 'regex'}
    assert TORCH.requirement in project['dependencies']
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
