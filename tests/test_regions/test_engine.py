"""Whoever makes the blocks, and whatever ends them: whole blocks, and the same ones."""
import asyncio
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rasterio')
pytest.importorskip('pyarrow')
dask = pytest.importorskip('dask')
distributed = pytest.importorskip('distributed')
psutil = pytest.importorskip('psutil')  # a requirement of distributed

from mamba_cd_plugin.regions import blocks, engine  # noqa: E402
from mamba_cd_plugin.regions.engine import run_blocks, shard_of  # noqa: E402
from mamba_cd_plugin.regions.grid import finished_blocks  # noqa: E402


def content_of(out: Path) -> dict[str, bytes]:
    """All files of all blocks."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted((out / 'blocks').rglob('*.*'))}


def test_sixteen_shards_are_the_whole(tools: Any, two_rasters: Path) -> None:
    tools.make(two_rasters, out='alone', block=80)
    for number in range(16, 0, -1):
        region = tools.open(two_rasters, block=80)
        mine = shard_of(region.tasks, f'{number}/16')
        run_blocks(region.job, mine, len(mine))
    assert tools.open(two_rasters, block=80).missing == [] and len(region.tasks) == 12  # some shards are empty
    assert content_of(two_rasters / 'out') == content_of(two_rasters / 'alone')
    for wrong in ('0/4', '5/4', '3', 'a/b'):
        with pytest.raises(ValueError, match='expected a number and how many'):
            shard_of(region.tasks, wrong)


def test_a_cluster_makes_the_same_blocks(tools: Any, two_rasters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    c, d = tools.town(60, 60, 5)
    tools.write(two_rasters / 'before/c.tif', c, 30, 500)
    path = tools.write(two_rasters / 'after/d.tif', d, 30, 500)
    path.write_bytes(path.read_bytes()[:5000])
    alone, _ = tools.make(two_rasters, block=150)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=':0',
                                  protocol='tcp', silence_logs=50) as cluster:
        region = tools.open(two_rasters, out='cluster', block=150)
        outcome = run_blocks(region.job, region.missing, len(region.tasks), scheduler=cluster.scheduler_address)
    assert outcome.made == alone['blocks_done'] == 6
    assert outcome.failed.keys() == {(0, 3)} and 'd.tif: is truncated' in outcome.failed[0, 3]
    assert (two_rasters / 'cluster/logs/0_3.log').read_text().count(' begins') == 3
    assert content_of(two_rasters / 'cluster') == content_of(two_rasters / 'out')
    monkeypatch.setattr('mamba_cd_plugin.regions.engine.CONNECT_TIMEOUT', 0.2)
    with pytest.raises(OSError, match='--scheduler tcp://127.0.0.1:1: cannot be reached'):
        run_blocks(region.job, region.tasks, 1, scheduler='tcp://127.0.0.1:1')


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """A Dask scheduler as a process of its own with its address, and a worker in this process, where the model is."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    address = f'tcp://127.0.0.1:{port}'
    process = subprocess.Popen([sys.executable, '-m', 'distributed.cli.dask_scheduler', '--host', address,
                                '--no-dashboard'], cwd=tmp_path, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(('127.0.0.1', port)):
            break
        time.sleep(0.1)

    async def work() -> None:
        async with distributed.Worker(address, nthreads=1, local_directory=str(tmp_path / 'dask')) as worker:
            await worker.finished()

    threading.Thread(target=lambda: asyncio.run(work()), daemon=True).start()
    yield process, address
    process.kill()
    process.wait()


def test_after_a_killed_scheduler_another_goes_on(tools: Any, two_rasters: Path, scheduler: Any,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    tools.make(two_rasters, out='alone', block=150)
    region = tools.open(two_rasters, block=150)
    (process, address), real, calls = scheduler, blocks._put_in_place, iter(range(100))

    def killing(*args: Any) -> None:
        if next(calls) == 2:
            process.kill()
            process.wait()
        real(*args)

    monkeypatch.setattr(blocks, '_put_in_place', killing)
    # So long a client waits for a scheduler that it has lost; by default 30 s.
    with dask.config.set({'distributed.comm.timeouts.connect': '8s'}), pytest.raises(
            OSError, match=f'the scheduler {address} is lost .* start it, and then the same'):
        run_blocks(region.job, region.missing, len(region.tasks), scheduler=address)
    assert 0 < len(finished_blocks(two_rasters / 'out')) < len(region.tasks) == 6
    again = tools.open(two_rasters, block=150)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=':0',
                                  protocol='tcp', silence_logs=50) as cluster:
        outcome = run_blocks(again.job, again.missing, len(again.tasks), scheduler=cluster.scheduler_address)
    assert outcome.made == len(again.missing) > 0 and outcome.failed == {}
    assert content_of(two_rasters / 'out') == content_of(two_rasters / 'alone')


def test_a_stop_leaves_whole_blocks_only(tools: Any, two_rasters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = tools.open(two_rasters, block=150)
    calls = iter(range(100))

    def killed(*args: Any) -> None:
        if next(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        real(*args)

    real = blocks._put_in_place
    monkeypatch.setattr(blocks, '_put_in_place', killed)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        run_blocks(region.job, region.missing, len(region.tasks))
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) is before
    assert len(list((two_rasters / 'out/blocks').iterdir())) == len(finished_blocks(two_rasters / 'out')) == 2
    assert len(tools.open(two_rasters, block=150).missing) == len(region.tasks) - 2


@pytest.mark.skipif(sys.platform == 'win32', reason='no signal masks')
@pytest.mark.parametrize('moment', ['start', 'work'])
def test_ctrl_c_kills_local_workers_and_waits_for_no_block(moment: str, tmp_path: Path, capfd: Any,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:

    def endless(job: Any, task: Any) -> None:  # within this function, so that it goes to the workers as a whole
        import os
        import signal
        import socket
        import time
        from pathlib import Path

        from distributed import Status, get_worker
        out = Path(job.out)
        (out / f'blocks/.{task.row}_0.{socket.gethostname()}.{os.getpid()}.part').mkdir()
        (out / f'{os.getpid()}.mask').write_text(str(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])))
        while get_worker().status is Status.running:
            time.sleep(0.01)
        (out / 'asked').touch()

    def interrupt() -> None:
        while not (len(list(tmp_path.glob('*.mask'))) == 2 if moment == 'work' else multiprocessing.active_children()):
            time.sleep(0.01)
        ports.update(port.laddr.ip for port in psutil.net_connections('tcp') if port.status == psutil.CONN_LISTEN
                     and port.pid == os.getpid())
        os.kill(os.getpid(), signal.SIGINT)

    ports: set[str] = set()
    (tmp_path / 'blocks').mkdir()
    monkeypatch.setattr(engine, 'run_alone', endless)
    job = SimpleNamespace(out=str(tmp_path))
    tasks = [SimpleNamespace(row=row, column=0, digest='a') for row in range(3)]
    threading.Thread(target=interrupt, daemon=True).start()
    loggers = [logging.getLogger(name) for name in ('distributed', 'asyncio', 'tornado')]
    levels = [[each.level for each in (logger, *logger.handlers)] for logger in loggers]
    with pytest.raises(KeyboardInterrupt):
        run_blocks(job, tasks, 3, workers=2)  # type: ignore[arg-type]
    assert levels == [[each.level for each in (logger, *logger.handlers)] for logger in loggers]
    assert multiprocessing.active_children() == [] and not (tmp_path / 'asked').exists()
    assert list((tmp_path / 'blocks').iterdir()) == []  # neither whole blocks nor halves
    masks = [path.read_text() for path in tmp_path.glob('*.mask')]
    assert masks == (['True', 'True'] if moment == 'work' else [])
    assert ports == {'127.0.0.1'}  # nobody on another machine can give the workers something to do
    assert 'Traceback' not in capfd.readouterr().err


def test_workers_that_cannot_start_are_reported(tmp_path: Path) -> None:
    job, task = SimpleNamespace(out=str(tmp_path)), SimpleNamespace(row=0, column=0, digest='a')
    with dask.config.set({'distributed.worker.preload': ['no_such_module']}), pytest.raises(
            OSError, match='of 2 local workers at least one cannot start .*no_such_module'):
        run_blocks(job, [task], 1, workers=2)  # type: ignore[arg-type,list-item]
    assert multiprocessing.active_children() == []


def test_a_full_disk_stops_the_run(tools: Any, two_rasters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = tools.open(two_rasters, block=150)
    usage = shutil.disk_usage(two_rasters)

    def full(*args: Any) -> None:
        raise OSError('no space left')

    monkeypatch.setattr(blocks, '_write', full)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match='the disk is full. Free some space and start the same command again'):
        run_blocks(region.job, region.missing, len(region.tasks))
    assert finished_blocks(two_rasters / 'out') == [] and list((two_rasters / 'out/blocks').iterdir()) == []
