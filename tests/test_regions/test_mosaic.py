"""A region is predicted block by block, and the result is that of one large prediction."""
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
pytest.importorskip('pyarrow')

from mamba_cd_plugin.inference import ChangeDetectionInferencer  # noqa: E402
from mamba_cd_plugin.inference.models import TileModel  # noqa: E402
from mamba_cd_plugin.inference.pairs import ReadOptions, Span, Window  # noqa: E402
from mamba_cd_plugin.inference.windows import PredictOptions  # noqa: E402
from mamba_cd_plugin.regions import blocks  # noqa: E402
from mamba_cd_plugin.regions.engine import run_blocks, shard_of  # noqa: E402
from mamba_cd_plugin.regions.finish import FinishOptions  # noqa: E402
from mamba_cd_plugin.regions.grid import RegionGrid, block_folder, finished_blocks  # noqa: E402
from mamba_cd_plugin.regions.mosaic import MosaicPair  # noqa: E402
from mamba_cd_plugin.regions.region import (  # noqa: E402
    Region,
    RegionOptions,
    describe_plan,
    finish_region,
    open_region,
    prepare_folder,
)
from mamba_cd_plugin.regions.shift import describe_shift  # noqa: E402

UTM = 'EPSG:32632'
ORIGIN = (500000., 5300000.)
PIXEL = 0.5
WINDOWS = PredictOptions(tile=64, overlap=32, batch_size=2)


class TellTaleModel(TileModel):
    """Its result shows where in the window a pixel was, and what else was in the batch: any other window or batch than
    those of one large prediction gives other bytes."""

    threshold = 0.3
    fill = np.array([124, 116, 104], np.uint8)
    identity = 'tell-tale'

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """(N, H, W, 6) to (N, H, W)."""
        a, b = pairs[..., :3].astype(np.float32), pairs[..., 3:].astype(np.float32)
        rows, columns = np.mgrid[:pairs.shape[1], :pairs.shape[2]].astype(np.float32)
        return (np.abs(a - b).mean(axis=-1) / 400 + rows / 1000 + columns / 3000 + len(pairs) / 50).astype(np.float32)


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[TellTaleModel]:
    """The model of this process."""
    one = TellTaleModel()
    monkeypatch.setattr('mamba_cd_plugin.regions.blocks.load_model', lambda *args: one)
    monkeypatch.setattr('mamba_cd_plugin.inference.inferencer.load_model', lambda *args: one)
    blocks.worker_model.cache_clear()
    yield one
    blocks.worker_model.cache_clear()


def town(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy pair with bright rectangles in B."""
    rng = np.random.default_rng(seed)
    a = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
    b = a.copy()
    for y, x in zip(rng.integers(0, height, 12), rng.integers(0, width, 12)):
        b[y:y + 15, x:x + 20] = (230, 220, 210)
    return a, b


def write(path: Path, image: np.ndarray, row: float = 0, column: float = 0, size: float = PIXEL, crs: str = UTM,
          **profile: Any) -> Path:
    """Write an array (H, W, 3) that begins in a row and column of the region."""
    path.parent.mkdir(exist_ok=True)
    affine = rasterio.Affine(size, 0, ORIGIN[0] + column * PIXEL, 0, -size, ORIGIN[1] - row * PIXEL)
    with rasterio.open(path, 'w', driver='GTiff', count=3, height=image.shape[0], width=image.shape[1],
                       dtype=image.dtype, crs=crs, transform=affine, **profile) as file:
        file.write(image.transpose(2, 0, 1))
    return path


def open_(folder: Path, out: str = 'out', running: PredictOptions = WINDOWS, reading: ReadOptions | None = None,
          **options: Any) -> Region:
    """The region of the rasters in ``before`` and ``after`` of a folder."""
    wanted = RegionOptions(**dict(dict(before=[str(folder / 'before')], after=[str(folder / 'after')],
                                       out=str(folder / out), checkpoint='none.pth', block=100, device='cpu',
                                       probability='float32'), **options))
    region = open_region(wanted, reading or ReadOptions(), running, 'cpu')
    prepare_folder(region, wanted)
    return region


def make(folder: Path, **options: Any) -> tuple[dict, Region]:
    """Make the missing blocks; gives the summary too."""
    region = open_(folder, **options)
    outcome = run_blocks(region.job, region.missing, len(region.tasks))
    return finish_region(region, outcome, FinishOptions(page=False)), region


def merged(out: Path, name: str = 'probability') -> np.ndarray:
    """All blocks as one array."""
    grid = RegionGrid.load(out)
    whole = np.full((grid.height, grid.width), *((255, np.uint8) if name == 'mask' else (np.nan, np.float32)))
    for block in finished_blocks(out):
        window = grid.window(*block)
        with rasterio.open(block_folder(out, *block) / f'{name}.tif') as file:
            assert file.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
            whole[slice(*window.rows), slice(*window.columns)] = file.read(1)
    return whole


@pytest.fixture
def two_rasters(tmp_path: Path) -> Path:
    """A pair of 230 x 310 pixels; B is in another zone of UTM, and A has a corner without data."""
    from rasterio.warp import transform
    a, b = town(230, 310)
    a[:70, :80] = 0
    west, north = (value[0] for value in transform(UTM, 'EPSG:32633', [ORIGIN[0] - 40], [ORIGIN[1] + 25]))
    wide = np.pad(b, ((150, 150), (150, 150), (0, 0)), mode='wrap')
    write(tmp_path / 'before/a.tif', a, nodata=0)
    path = write(tmp_path / 'after/b.tif', wide, crs='EPSG:32633')
    with rasterio.open(path, 'r+') as file:
        file.transform = rasterio.Affine(PIXEL, 0, west, 0, -PIXEL, north)
    return tmp_path


@pytest.mark.parametrize('block', [77, 1000])
def test_blocks_of_any_size_are_one_large_prediction(two_rasters: Path, block: int) -> None:
    inferencer = ChangeDetectionInferencer(weights='none.pth', show_progress=False)
    one = inferencer((two_rasters / 'before/a.tif', two_rasters / 'after/b.tif'), **{
        key: value for key, value in WINDOWS._asdict().items() if value is not None})['predictions'][0]
    summary, _ = make(two_rasters, block=block)
    out = two_rasters / 'out'
    assert merged(out).tobytes() == one['probability'].tobytes()
    assert merged(out, 'mask').tobytes() == one['mask'].tobytes()
    assert summary['blocks_done'] == summary['blocks'] == -(-230 // block) * -(-310 // block)
    assert summary['changed_pixels'] == (one['mask'] == 1).sum() > 500
    assert summary['nodata_pixels'] == (one['mask'] == 255).sum() > 5000


def test_polygons_are_the_pixels_of_the_block(two_rasters: Path) -> None:
    from rasterio import features
    geopandas = pytest.importorskip('geopandas')
    make(two_rasters)
    mask, probability = merged(two_rasters / 'out', 'mask'), merged(two_rasters / 'out')
    grid = RegionGrid.load(two_rasters / 'out')
    for block in [(0, 0), (1, 1), (2, 3)]:
        place = tuple(slice(*span) for span in grid.window(*block))
        table = geopandas.read_parquet(block_folder(two_rasters / 'out', *block) / 'polygons.parquet')
        affine = grid.block_affine(*block)
        drawn = features.rasterize(((shape, i + 1) for i, shape in enumerate(table.geometry)), mask[place].shape,
                                   transform=affine, dtype='int32') if len(table) else np.zeros(mask[place].shape, int)
        assert np.array_equal(drawn > 0, mask[place] == 1)
        for number, row in enumerate(table.itertuples(), 1):
            mine = drawn == number
            assert row.pixels == mine.sum() and row.probability_sum == pytest.approx(probability[place][mine].sum())
            assert row.touches_edge == (mine[0].any() or mine[-1].any() or mine[:, 0].any() or mine[:, -1].any())


def test_only_blocks_with_changed_inputs_are_made_anew(two_rasters: Path) -> None:
    c, d = town(100, 100, 5)
    write(two_rasters / 'before/c.tif', c, 130, 310)
    write(two_rasters / 'after/d.tif', d, 130, 310)
    _, region = make(two_rasters)
    assert len(open_(two_rasters).missing) == 0
    content = {path: path.read_bytes() for path in (two_rasters / 'out/blocks').rglob('*') if path.is_file()}
    os.utime(two_rasters / 'after/d.tif', (1, 1))
    anew = open_(two_rasters)
    # d covers columns 310..410; the windows of the blocks in columns 200..300 and 300..400 reach into it.
    touched = {(task.row, task.column) for task in region.tasks if (two_rasters / 'after/d.tif').as_posix() in {
        raster.path for raster in task.b}}
    assert {(task.row, task.column) for task in anew.missing} == touched and 0 < len(touched) < len(region.tasks)
    run_blocks(anew.job, anew.missing, len(anew.tasks))
    for path, bytes_ in content.items():
        assert path.name == 'manifest.json' or path.read_bytes() == bytes_, path
    assert len(open_(two_rasters, running=WINDOWS._replace(threshold=0.4)).missing) == len(region.tasks)


def test_a_damaged_file_leaves_gaps_with_their_reason(two_rasters: Path) -> None:
    c, d = town(100, 100, 5)
    write(two_rasters / 'before/c.tif', c, 130, 700)
    path = write(two_rasters / 'after/d.tif', d, 130, 700)
    write(two_rasters / 'before/e.tif', c, 400, 700)
    (two_rasters / 'after/f.tif').write_bytes(b'II*\0' + b'\0' * 50)
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    region = open_(two_rasters)
    said = '\n'.join(describe_plan(region))
    assert 'f.tif is left out: cannot be read as a raster' in said and 'blocks have no image after: 4_7' in said
    summary, _ = make(two_rasters)
    assert [one['block'] for one in summary['failed']] == ['1_7', '2_7']
    assert 'd.tif: is truncated' in summary['failed'][0]['reason']
    assert summary['blocks_done'] == summary['blocks'] - 2 == len(finished_blocks(two_rasters / 'out'))
    assert [Path(one['path']).name for one in summary['left_out']] == ['f.tif']
    assert (two_rasters / 'out/logs/1_7.log').read_text().count(' begins') == 3
    path.write_bytes(whole)
    summary, region = make(two_rasters)
    assert len(region.missing) == 2 and summary['failed'] == [] and summary['blocks_done'] == summary['blocks']


def test_shards_are_the_whole(two_rasters: Path) -> None:
    region = open_(two_rasters)
    shards = [shard_of(region.tasks, f'{number}/5') for number in range(1, 6)]
    assert sorted((task.row, task.column) for shard in shards for task in shard) == [
        (task.row, task.column) for task in region.tasks]
    for wrong in ('0/4', '5/4', '3', 'a/b'):
        with pytest.raises(ValueError, match='expected a number and how many'):
            shard_of(region.tasks, wrong)


def test_blocks_of_another_grid_are_not_mixed_in(two_rasters: Path) -> None:
    make(two_rasters, block=1000)
    with pytest.raises(ValueError, match='holds the blocks of another grid, with another size of blocks'):
        open_(two_rasters, block=50)
    (two_rasters / 'mine').mkdir()
    (two_rasters / 'mine/summary.json').write_text('{}')
    with pytest.raises(FileExistsError, match='summary.json would be overwritten'):
        open_(two_rasters, out='mine')
    with pytest.raises(ValueError, match='is a folder of the data'):
        open_(two_rasters, out='before/out')


def test_only_the_area_of_interest_is_predicted(two_rasters: Path) -> None:
    make(two_rasters)
    whole = merged(two_rasters / 'out', 'mask')
    # Columns 50..190 and rows 20..90, as a polygon in degrees.
    from rasterio.warp import transform
    corners = [(50, 20), (190, 20), (190, 90), (50, 90), (50, 20)]
    x, y = transform(UTM, 'EPSG:4326', *zip(*((ORIGIN[0] + PIXEL * c, ORIGIN[1] - PIXEL * r) for c, r in corners)))
    area = two_rasters / 'area.geojson'
    area.write_text(json.dumps(dict(type='Polygon', coordinates=[list(zip(x, y))])))
    summary, region = make(two_rasters, out='part', aoi=str(area))
    assert [(task.row, task.column) for task in region.tasks] == [(0, 0), (0, 1)] and summary['blocks_done'] == 2
    part = merged(two_rasters / 'part', 'mask')
    assert np.array_equal(part[20:90, 50:190], whole[20:90, 50:190])
    part[20:90, 50:190] = 255
    assert (part == 255).all()


def test_wide_values_are_stretched_as_in_one_prediction(two_rasters: Path) -> None:
    for name in ('before/a.tif', 'after/b.tif'):
        with rasterio.open(two_rasters / name) as file:
            image, affine, crs, nodata = file.read().transpose(1, 2, 0), file.transform, file.crs, file.nodata
        write(two_rasters / name, image.astype(np.uint16) * 37, crs=crs, nodata=nodata)
        with rasterio.open(two_rasters / name, 'r+') as file:
            file.transform = affine
    test_blocks_of_any_size_are_one_large_prediction(two_rasters, 100)


def test_many_rasters_are_one_image(tmp_path: Path) -> None:
    """Four rasters on one grid, with overlaps, a hole and another order: the first with data counts."""
    rng = np.random.default_rng(3)
    corners = [(0, 0), (0, 70), (60, 20), (60, 70)]
    images = [rng.integers(1, 255, (90, 100, 3), dtype=np.uint8) for _ in corners]
    images[0][40:60, 30:50] = 0  # no data: what lies below shows, if there is something
    for number, (image, corner) in enumerate(zip(images, corners)):
        write(tmp_path / f'before/{number}.tif', image, *corner, nodata=0)
        write(tmp_path / f'after/{number}.tif', image, *corner, nodata=0)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        region = open_(tmp_path, before=[str(tmp_path / f'before/{number}.tif') for number in order])
        assert (region.plan.grid.height, region.plan.grid.width) == (150, 170) and region.plan.a.direct.all()
        expected = np.zeros((150, 170, 3), np.uint8)
        for number in reversed(order):
            row, column = corners[number]
            data = images[number].any(axis=2)
            expected[row:row + 90, column:column + 100][data] = images[number][data]
        with MosaicPair(region.plan.grid, region.plan.a.placed(), region.plan.b.placed(), ReadOptions()) as pair:
            for window in (Window(Span(0, 150), Span(0, 170)), Window(Span(35, 110), Span(25, 150))):
                tile = pair.read(window)
                wanted = expected[slice(*window.rows), slice(*window.columns)]
                assert np.array_equal(tile.valid, wanted.any(axis=2))
                assert np.array_equal(tile.pair[..., :3][tile.valid], wanted[tile.valid])


def test_the_grid_is_that_of_most_rasters(tmp_path: Path) -> None:
    image = np.full((60, 80, 3), 9, np.uint8)
    write(tmp_path / 'before/0.tif', image[:30, :40], size=1.)
    for number in (1, 2):
        write(tmp_path / f'before/{number}.tif', image, 0, 80. * number)
    write(tmp_path / 'after/0.tif', image, 0.5, 0)  # half a pixel off
    plan = open_(tmp_path).plan
    assert plan.grid.transform == (PIXEL, 0, ORIGIN[0], 0, -PIXEL, ORIGIN[1])
    assert (plan.grid.height, plan.grid.width) == (60, 240)
    assert plan.a.direct.tolist() == [False, True, True] and plan.b.direct.tolist() == [False]
    coarse = open_(tmp_path, out='coarse', resolution=2.).plan
    assert (coarse.grid.height, coarse.grid.width, coarse.grid.transform[0]) == (15, 60, 2)
    degrees = open_(tmp_path, out='degrees', crs='EPSG:4326').plan
    assert degrees.grid.rasterio_crs.to_epsg() == 4326 and degrees.grid.width > degrees.grid.height
    with pytest.raises(ValueError, match='--crs nowhere: is no CRS'):
        open_(tmp_path, crs='nowhere')
    with pytest.raises(ValueError, match='no block has images of both dates'):
        write(tmp_path / 'after/0.tif', image, 5000, 0)
        open_(tmp_path)


def test_a_cluster_makes_the_same_blocks(two_rasters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip('distributed')
    c, d = town(60, 60, 5)
    write(two_rasters / 'before/c.tif', c, 30, 500)
    path = write(two_rasters / 'after/d.tif', d, 30, 500)
    path.write_bytes(path.read_bytes()[:5000])
    alone, _ = make(two_rasters, block=150)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=':0',
                                  protocol='tcp', silence_logs=50) as cluster:
        region = open_(two_rasters, out='cluster', block=150)
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


def test_a_stop_leaves_whole_blocks_only(two_rasters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = open_(two_rasters, block=150)
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
    assert len(open_(two_rasters, block=150).missing) == len(region.tasks) - 2


def test_a_full_disk_stops_the_run(two_rasters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = open_(two_rasters, block=150)
    usage = shutil.disk_usage(two_rasters)

    def full(*args: Any) -> None:
        raise OSError('no space left')

    monkeypatch.setattr(blocks, '_write', full)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match='the disk is full. Free some space and start the same command again'):
        run_blocks(region.job, region.missing, len(region.tasks))
    assert finished_blocks(two_rasters / 'out') == [] and list((two_rasters / 'out/blocks').iterdir()) == []


def test_a_shift_of_the_dates_is_told(tmp_path: Path) -> None:
    image, other = town(300, 300)[0], town(300, 300, seed=9)[0]

    def said(after: np.ndarray, row: int, column: int) -> str:
        write(tmp_path / 'after/b.tif', after, row, column)
        region = open_(tmp_path, block=150)
        return '\n'.join(describe_shift(region.job, region.tasks))

    write(tmp_path / 'before/a.tif', image)
    moved = said(image, 1, 3)
    assert 'B lies +3.0 px to the right and +1.0 px down of A in the median of 4 places' in moved
    assert 'register the dates first' in moved
    assert 'at most 0.0 px' in said(image, 0, 0) and 'register' not in said(image, 0, 0)
    assert said(other, 0, 0) == 'shift: in no place could it be measured whether the dates lie on each other'
