"""What freed memory does, seen from outside: in a process of its own, since it cannot be undone."""
import subprocess
import sys

import pytest

from mamba_cd_plugin.engine import allocator

PROGRAM = '''
import resource, sys, torch
from mamba_cd_plugin.engine.allocator import keep_freed_memory
done = keep_freed_memory() if sys.argv[1] == 'keep' else None
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(6):  # the heap grows once or twice, and settles
    torch.ones(2**25)
before = faults()
for _ in range(4):
    torch.ones(2**25)
print(done, faults() - before)
'''


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is what it tunes')
def test_a_tensor_gets_the_pages_of_the_last_one() -> None:
    def run(how: str) -> list:
        return subprocess.run([sys.executable, '-c', PROGRAM, how], capture_output=True, text=True,
                              check=True).stdout.split()[-2:]

    # 2**25 floats are 128 MiB, 32,768 pages of 4 KiB.
    done, kept = run('keep')
    assert done == 'True'
    assert int(kept) < 1000
    assert int(run('leave')[1]) > 100_000


@pytest.mark.parametrize('name', ['MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES'])
def test_settings_in_the_environment_win(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, '1')
    assert not allocator.keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, 'platform', 'darwin')
    assert not allocator.keep_freed_memory()
