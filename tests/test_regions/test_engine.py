"""Whoever makes the blocks, and whatever ends them: whole blocks, and the same ones."""
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rasterio')
pytest.importorskip('pyarrow')

from mamba_cd_plugin.regions import blocks  # noqa: E402
from mamba_cd_plugin.regions.engine import run_blocks, shard_of  # noqa: E402
from mamba_cd_plugin.regions.grid import finished_blocks  # noqa: E402


def test_shards_are_the_whole(tools: Any, two_rasters: Path) -> None:
    region = tools.open(two_rasters)
    shards = [shard_of(region.tasks, f'{number}/5') for number in range(1, 6)]
    assert sorted((task.row, task.column) for shard in shards for task in shard) == [
        (task.row, task.column) for task in region.tasks]
    for wrong in ('0/4', '5/4', '3', 'a/b'):
        with pytest.raises(ValueError, match='expected a number and how many'):
            shard_of(region.tasks, wrong)


def test_a_cluster_makes_the_same_blocks(tools: Any, two_rasters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip('distributed')
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
    for path in (two_rasters / 'out/blocks').rglob('*.*'):
        assert (two_rasters / 'cluster/blocks' / path.relative_to(two_rasters / 'out/blocks')).read_bytes() == \
            path.read_bytes(), path
    monkeypatch.setattr('mamba_cd_plugin.regions.engine.CONNECT_TIMEOUT', 0.2)
    with pytest.raises(OSError, match='--scheduler tcp://127.0.0.1:1: cannot be reached'):
        run_blocks(region.job, region.tasks, 1, scheduler='tcp://127.0.0.1:1')


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
