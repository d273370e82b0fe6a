"""What freed memory does, seen from outside: in a process of its own, since it cannot be undone."""
import os
import subprocess
import sys

import pytest

from mamba_cd_plugin.engine import machine

PROGRAM = '''
import re, torch
from pathlib import Path
from mamba_cd_plugin.engine.machine import keep_freed_memory

def resident():
    return int(re.search(r'VmRSS:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024

def held():
    before = resident()
    torch.ones(2**25)  # 128 MiB
    return resident() - before

print(held(), keep_freed_memory(), held())
'''


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is what it tunes')
@pytest.mark.parametrize('dask', [False, True])
def test_freed_memory_stays_for_the_next_tensor(dask: bool) -> None:
    """By what the process still holds after it has freed 128 MiB, all of it or next to nothing."""
    environment = dict(os.environ, **({'MALLOC_TRIM_THRESHOLD_': '65536'} if dask else {}))  # what its workers have
    program = PROGRAM.replace('_memory()', "_memory(['MALLOC_TRIM_THRESHOLD_'])") if dask else PROGRAM
    output = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True,
                            env=environment).stdout
    without, done, kept = output.split()[-3:]
    assert done == 'True'
    assert float(without) < 64 < float(kept)


@pytest.mark.parametrize('name', ['MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES'])
def test_settings_in_the_environment_win(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, '1')
    assert not machine.keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, 'platform', 'darwin')
    assert not machine.keep_freed_memory()
