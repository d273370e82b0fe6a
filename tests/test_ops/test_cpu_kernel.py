import multiprocessing
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mamba_cd_plugin.ops import cpu_kernel, cross_selective_scan

pytestmark = pytest.mark.usefixtures('c_backend')


@pytest.fixture
def fast_build(monkeypatch, tmp_path):
    """An empty cache folder, and a source that compiles in no time."""
    folder = tmp_path / 'source'
    folder.mkdir()
    (folder / 'scan.c').write_text('\n'.join(f'int {name}(void) {{ return 0; }}' for name in cpu_kernel.FUNCTIONS))
    monkeypatch.setattr(cpu_kernel, 'SOURCE_DIR', folder)
    monkeypatch.setenv('MAMBA_CD_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def test_builds_once_and_leaves_one_file(fast_build):
    cpu_kernel.build_library()
    built, = fast_build.iterdir()
    stamp = built.stat().st_mtime_ns
    cpu_kernel.build_library()
    assert [p.stat().st_mtime_ns for p in fast_build.iterdir()] == [stamp]


def test_folder_from_xdg_or_home(monkeypatch, tmp_path):
    monkeypatch.delenv('MAMBA_CD_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert cpu_kernel.cache_dirs()[0] == tmp_path / 'mamba_cd_plugin'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cpu_kernel.cache_dirs()[0] == tmp_path / '.cache' / 'mamba_cd_plugin'


def test_other_flags_or_machine_give_another_name(monkeypatch):
    sources = sorted(cpu_kernel.SOURCE_DIR.glob('*.[ch]'))
    names = {cpu_kernel._build_key(['cc'], sources)}
    monkeypatch.setattr(cpu_kernel, 'FLAG_SETS', (('-O1', ), ))
    names.add(cpu_kernel._build_key(['cc'], sources))
    monkeypatch.setattr(cpu_kernel, '_cpu_identity', lambda: 'another machine')
    names.add(cpu_kernel._build_key(['cc'], sources))
    assert len(names) == 3


def test_damaged_library_is_built_again(fast_build, monkeypatch, tmp_path):
    cpu_kernel.build_library()
    damaged = tmp_path / 'other' / next(fast_build.iterdir()).name
    damaged.parent.mkdir()
    damaged.write_bytes(b'not a library')
    monkeypatch.setenv('MAMBA_CD_CACHE', str(damaged.parent))
    cpu_kernel.build_library()
    assert damaged.stat().st_size > 1000


def test_cache_that_cannot_be_written(fast_build, monkeypatch, tmp_path):
    fast_build.write_text('a file where the folder should be')
    monkeypatch.setattr(cpu_kernel.tempfile, 'gettempdir', lambda: str(tmp_path / 'tmp'))
    cpu_kernel.build_library()
    assert len(list((tmp_path / 'tmp').glob('mamba_cd_plugin-*/*.so'))) == 1


@pytest.mark.skipif(not hasattr(os, 'getuid'), reason='POSIX permissions')
def test_folder_that_others_can_write_is_not_trusted(fast_build, monkeypatch, tmp_path):
    fast_build.mkdir()
    fast_build.chmod(0o777)
    monkeypatch.setattr(cpu_kernel.tempfile, 'gettempdir', lambda: str(tmp_path / 'tmp'))
    cpu_kernel.build_library()
    assert list(fast_build.iterdir()) == []


def test_flags_that_the_compiler_refuses(fast_build, monkeypatch):
    monkeypatch.setattr(cpu_kernel, 'FLAG_SETS', (('-march=no-such-machine', ), ('-O1', )))
    cpu_kernel.build_library()
    assert len(list(fast_build.iterdir())) == 1


def test_compiler_that_fails(fast_build, monkeypatch):
    monkeypatch.setattr(cpu_kernel, 'FLAG_SETS', (('-march=no-such-machine', ), ))
    with pytest.raises(cpu_kernel.KernelUnavailable, match='no-such-machine'):
        cpu_kernel.build_library()
    assert list(fast_build.iterdir()) == []


def test_no_compiler(monkeypatch):
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setenv('PATH', '')
    cpu_kernel._build_once.cache_clear()
    try:
        usable, reason = cpu_kernel.probe_cpu_kernel()
    finally:
        cpu_kernel._build_once.cache_clear()
    assert not usable and 'no C compiler found' in reason and 'install gcc' in reason


def test_several_builds_at_once(fast_build):
    with ThreadPoolExecutor(3) as pool:
        for library in pool.map(lambda _: cpu_kernel.build_library(), range(3)):
            assert library.cross_scan_forward
    assert len(list(fast_build.iterdir())) == 1


def _large_enough_for_threads(maps):
    inputs = maps(2, 16, 16, 32, 2, 1)
    return inputs, cross_selective_scan(*inputs, backend='c')


@pytest.mark.skipif('fork' not in multiprocessing.get_all_start_methods(), reason='no fork')
def test_fork_after_use(maps):
    inputs, expected = _large_enough_for_threads(maps)
    context = multiprocessing.get_context('fork')
    same = context.Value('i', 0)

    def child():
        y = cross_selective_scan(*inputs, backend='c')
        same.value = int(torch.equal(y, expected))

    process = context.Process(target=child)
    process.start()
    process.join(60)
    hangs = process.is_alive()
    if hangs:
        process.kill()
    assert not hangs and same.value == 1


def test_threads_of_its_own_without_openmp(maps):
    inputs, expected = _large_enough_for_threads(maps)
    library, _ = cpu_kernel.load_library()
    library.scan_use_openmp(None, None, None)
    try:
        assert torch.equal(cross_selective_scan(*inputs, backend='c'), expected)
    finally:
        cpu_kernel._share_torch_threads(library)


def test_callers_in_several_threads(maps):
    inputs, expected = _large_enough_for_threads(maps)
    start, results = threading.Barrier(3), []

    def call():
        start.wait()
        results.extend(torch.equal(cross_selective_scan(*inputs, backend='c'), expected) for _ in range(20))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 60


def test_sources_are_installed_with_the_package():
    assert {p.suffix for p in cpu_kernel.SOURCE_DIR.iterdir()} == {'.c', '.h'}
    assert shutil.which(cpu_kernel.find_compiler()[0])
