"""``python -m mamba_cd_plugin.doctor`` as a process, in broken environments and in this one."""
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmseg.registry import MODELS
from torch import nn

from mamba_cd_plugin.doctor import probe
from mamba_cd_plugin.ops import backends, cpu_kernel

ROOT = Path(__file__).parents[2]


def doctor(*arguments: str, site: Path = None, **environment: str) -> subprocess.CompletedProcess:
    """Run it; with ``site``, in a Python that has no packages but those."""
    bare = [] if site is None else ['-S']
    path = os.pathsep.join(map(str, [ROOT, *([] if site is None else [site])]))
    return subprocess.run([sys.executable, *bare, '-m', 'mamba_cd_plugin.doctor', *arguments], capture_output=True,
                          text=True, env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1', **environment))


def test_it_starts_without_any_package(tmp_path: Path) -> None:
    run = doctor(site=tmp_path)
    assert (run.returncode, run.stderr) == (1, '')
    assert 'ERROR missing: torch is not installed' in run.stdout
    assert "step 'torch' failed with ModuleNotFoundError" in run.stdout
    assert 'not looked at, since an earlier step failed' in run.stdout


def test_it_survives_a_torch_that_crashes(plant: Callable) -> None:
    site = plant('torch==2.5.0', numpy='', torch='import os; os.write(1, b"noise\\n"); os.abort()')
    found = json.loads(doctor('--json', site=site).stdout)
    assert found['installed'] == {'torch': '2.5.0'}
    assert found['probe']['torch']['kind'] == 'Crash'
    assert [problem['check'] for problem in found['problems']] == ['missing', 'version', 'probe']


def test_this_environment_is_sound() -> None:
    """The whole of it, as a user runs it."""
    run = doctor('--json')
    found = json.loads(run.stdout)
    assert run.returncode == 0, run.stdout
    assert [problem for problem in found['problems'] if problem['level'] == 'error'] == []
    assert found['probe']['scan']['chosen'] == backends.resolve_backend('auto', 'cpu')
    assert list(found['probe'])[-1] == 'self-test: load' and found['probe']['self-test: load']['difference'] <= 1e-4


def test_only_registration_needs_the_stack() -> None:
    """In a Python without packages the package itself can be imported, and registration says what is missing."""
    program = 'import mamba_cd_plugin; mamba_cd_plugin.register_all_modules()'
    run = subprocess.run([sys.executable, '-S', '-c', program], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert 'mamba_cd_plugin needs mmengine, mmcv and mmsegmentation' in run.stderr


def test_no_compiler_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setattr(cpu_kernel, '_build_once', cpu_kernel._build_once.__wrapped__)  # asked anew
    scan = probe.look_at_scan()
    assert scan['compiler'] == '' and scan['unavailable']['c'].startswith('no C compiler found')
    assert scan['chosen'] == 'torch'


def test_read_only_cache_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MAMBA_CD_CACHE', '/proc')  # where not even root can write
    monkeypatch.setattr(cpu_kernel, '_build_once', lambda: 'not tried')
    scan = probe.look_at_scan()
    assert scan['cache'] == '/proc' and scan['cache_unusable']


def test_the_toy_is_v8(toy_v8: nn.Module) -> None:
    """The self-test's model has the parameters of the config's."""
    model = MODELS.build(probe.toy_v8())
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in toy_v8.state_dict().items()}
