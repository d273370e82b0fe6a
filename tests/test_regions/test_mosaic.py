"""A region is predicted block by block, and the result is that of one large prediction."""
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
pytest.importorskip('pyarrow')

from mamba_cd_plugin.cli import main  # noqa: E402
from mamba_cd_plugin.inference import ChangeDetectionInferencer  # noqa: E402
from mamba_cd_plugin.inference.pairs import ReadOptions, Span, Window  # noqa: E402
from mamba_cd_plugin.regions.engine import run_blocks  # noqa: E402
from mamba_cd_plugin.regions.grid import RegionGrid, block_folder, finished_blocks  # noqa: E402
from mamba_cd_plugin.regions.mosaic import MosaicPair  # noqa: E402
from mamba_cd_plugin.regions.region import describe_cost, describe_plan  # noqa: E402


@pytest.mark.parametrize('block', [77, 1000])
def test_blocks_of_any_size_are_one_large_prediction(tools: Any, two_rasters: Path, block: int) -> None:
    inferencer = ChangeDetectionInferencer(weights='none.pth', show_progress=False)
    one = inferencer((two_rasters / 'before/a.tif', two_rasters / 'after/b.tif'), **{
        key: value for key, value in tools.WINDOWS._asdict().items() if value is not None})['predictions'][0]
    summary, _ = tools.make(two_rasters, block=block)
    out = two_rasters / 'out'
    assert tools.merged(out).tobytes() == one['probability'].tobytes()
    assert tools.merged(out, 'mask').tobytes() == one['mask'].tobytes()
    assert summary['blocks_done'] == summary['blocks'] == -(-230 // block) * -(-310 // block)
    assert summary['changed_pixels'] == (one['mask'] == 1).sum() > 500
    assert summary['nodata_pixels'] == (one['mask'] == 255).sum() > 5000


def test_polygons_are_the_pixels_of_the_block(tools: Any, two_rasters: Path) -> None:
    from rasterio import features
    geopandas = pytest.importorskip('geopandas')
    tools.make(two_rasters)
    mask, probability = tools.merged(two_rasters / 'out', 'mask'), tools.merged(two_rasters / 'out')
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


def test_only_blocks_with_changed_inputs_are_made_anew(tools: Any, two_rasters: Path) -> None:
    c, d = tools.town(100, 100, 5)
    tools.write(two_rasters / 'before/c.tif', c, 130, 310)
    tools.write(two_rasters / 'after/d.tif', d, 130, 310)
    _, region = tools.make(two_rasters)
    assert len(tools.open(two_rasters).missing) == 0
    content = {path: path.read_bytes() for path in (two_rasters / 'out/blocks').rglob('*') if path.is_file()}
    os.utime(two_rasters / 'after/d.tif', (1, 1))
    anew = tools.open(two_rasters)
    # d covers columns 310..410; the windows of the blocks in columns 200..300 and 300..400 reach into it.
    touched = {(task.row, task.column) for task in region.tasks if (two_rasters / 'after/d.tif').as_posix() in {
        raster.path for raster in task.b}}
    assert {(task.row, task.column) for task in anew.missing} == touched and 0 < len(touched) < len(region.tasks)
    run_blocks(anew.job, anew.missing, len(anew.tasks))
    for path, bytes_ in content.items():
        assert path.name == 'manifest.json' or path.read_bytes() == bytes_, path
    assert len(tools.open(two_rasters, running=tools.WINDOWS._replace(threshold=0.4)).missing) == len(region.tasks)


def test_a_damaged_file_leaves_gaps_with_their_reason(tools: Any, two_rasters: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr('mamba_cd_plugin.regions.engine.print_log', lambda line, *args, **options: lines.append(line))
    c, d = tools.town(100, 100, 5)
    tools.write(two_rasters / 'before/c.tif', c, 130, 700)
    path = tools.write(two_rasters / 'after/d.tif', d, 130, 700)
    tools.write(two_rasters / 'before/e.tif', c, 400, 700)
    (two_rasters / 'after/f.tif').write_bytes(b'II*\0' + b'\0' * 50)
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    region = tools.open(two_rasters)
    said = '\n'.join(describe_plan(region))
    assert 'f.tif is left out: cannot be read as a raster' in said and 'blocks have no image after: 4_7' in said
    summary, _ = tools.make(two_rasters)
    assert [one['block'] for one in summary['failed']] == ['1_7', '2_7']
    assert 'd.tif: is truncated' in summary['failed'][0]['reason']
    # Of both blocks it is said once, and at the end how many there are.
    said = [line.split('d.tif: is truncated')[0] for line in lines if 'is truncated' in line]
    assert said == [f'{start} for the same reason: ValueError: {path.parent}/' if start[0] == '2' else
                    f'{start} and is left out: ValueError: {path.parent}/'
                    for start in ('block 1_7 failed 3 times', '2 blocks failed')]
    assert summary['blocks_done'] == summary['blocks'] - 2 == len(finished_blocks(two_rasters / 'out'))
    assert [Path(one['path']).name for one in summary['left_out']] == ['f.tif']
    assert (two_rasters / 'out/logs/1_7.log').read_text().count(' begins') == 3
    path.write_bytes(whole)
    summary, region = tools.make(two_rasters)
    assert len(region.missing) == 2 and summary['failed'] == [] and summary['blocks_done'] == summary['blocks']


def test_a_dry_run_gives_the_space_of_small_regions_too(tools: Any, two_rasters: Path) -> None:
    region = tools.open(two_rasters)
    assert (len(region.tasks), region.plan.pixels(), region.job.probability) == (12, 230 * 310, 'float32')
    # 3 bytes a pixel, and 20 kB a block: 213.9 + 240 kB
    assert describe_cost(region, 1)[1] == 'space: about 454 kB'
    assert describe_cost(region._replace(missing=region.tasks[:3]), 1)[1] == 'space: about 113 kB'


def test_blocks_of_another_grid_are_not_mixed_in(tools: Any, two_rasters: Path) -> None:
    tools.make(two_rasters, block=1000)
    with pytest.raises(ValueError, match='holds the blocks of another grid, with another size of blocks'):
        tools.open(two_rasters, block=50)
    (two_rasters / 'mine').mkdir()
    (two_rasters / 'mine/summary.json').write_text('{}')
    with pytest.raises(FileExistsError, match='summary.json would be overwritten'):
        tools.open(two_rasters, out='mine')
    with pytest.raises(ValueError, match='is a folder of the data'):
        tools.open(two_rasters, out='before/out')


def test_only_the_area_of_interest_is_predicted(tools: Any, two_rasters: Path) -> None:
    tools.make(two_rasters)
    whole = tools.merged(two_rasters / 'out', 'mask')
    # Columns 50..190 and rows 20..90, as a polygon in degrees.
    from rasterio.warp import transform
    corners = [(50, 20), (190, 20), (190, 90), (50, 90), (50, 20)]
    west, north = tools.ORIGIN
    x, y = transform(tools.UTM, 'EPSG:4326', *zip(*((west + tools.PIXEL * c, north - tools.PIXEL * r)
                                                    for c, r in corners)))
    area = two_rasters / 'area.geojson'
    area.write_text(json.dumps(dict(type='Polygon', coordinates=[list(zip(x, y))])))
    summary, region = tools.make(two_rasters, out='part', aoi=str(area))
    assert [(task.row, task.column) for task in region.tasks] == [(0, 0), (0, 1)] and summary['blocks_done'] == 2
    part = tools.merged(two_rasters / 'part', 'mask')
    assert np.array_equal(part[20:90, 50:190], whole[20:90, 50:190])
    part[20:90, 50:190] = 255
    assert (part == 255).all()


def test_wide_values_are_stretched_as_in_one_prediction(tools: Any, two_rasters: Path) -> None:
    for name in ('before/a.tif', 'after/b.tif'):
        with rasterio.open(two_rasters / name) as file:
            image, affine, crs, nodata = file.read().transpose(1, 2, 0), file.transform, file.crs, file.nodata
        tools.write(two_rasters / name, image.astype(np.uint16) * 37, crs=crs, nodata=nodata)
        with rasterio.open(two_rasters / name, 'r+') as file:
            file.transform = affine
    test_blocks_of_any_size_are_one_large_prediction(tools, two_rasters, 100)


def test_many_rasters_are_one_image(tools: Any, tmp_path: Path) -> None:
    """Four rasters on one grid, with overlaps, a hole and another order: the first with data counts."""
    rng = np.random.default_rng(3)
    corners = [(0, 0), (0, 70), (60, 20), (60, 70)]
    images = [rng.integers(1, 255, (90, 100, 3), dtype=np.uint8) for _ in corners]
    images[0][40:60, 30:50] = 0  # no data: what lies below shows, if there is something
    for number, (image, corner) in enumerate(zip(images, corners)):
        tools.write(tmp_path / f'before/{number}.tif', image, *corner, nodata=0)
        tools.write(tmp_path / f'after/{number}.tif', image, *corner, nodata=0)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        region = tools.open(tmp_path, before=[str(tmp_path / f'before/{number}.tif') for number in order])
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


def test_more_rasters_than_a_process_may_open(tools: Any, tmp_path: Path) -> None:
    """Wide values are stretched by all rasters of a date at once; systems let a process open 256 or 1,024 files."""
    resource = pytest.importorskip('resource')
    images = np.random.default_rng(5).integers(100, 4000, (2, 16, 16 * 80, 3), dtype=np.uint16)
    for name, image in zip(('before', 'after'), images):
        for number in range(80):
            tools.write(tmp_path / f'{name}/{number:02}.tif', image[:, 16 * number:16 * number + 16], 0, 16 * number)
    region = tools.open(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A new file gets the lowest number that is free, and no number may reach the limit.
    probe = (tmp_path / 'before/00.tif').open('rb')
    free = probe.fileno()
    probe.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(free + 140, soft), hard))
    try:
        with MosaicPair(region.plan.grid, region.plan.a.placed(), region.plan.b.placed(), ReadOptions()) as pair:
            low = np.percentile(images.reshape(2, -1, 3)[:, ::2], 2, axis=1)
            tile = pair.read(Window(Span(0, 16), Span(0, 16 * 80)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert tile.valid.all()
    for date, values in zip(images, (tile.pair[..., :3], tile.pair[..., 3:])):
        share = (values.astype(float).ravel() / 255, (date.astype(float).ravel() - 100) / 3900)
        assert np.corrcoef(*share)[0, 1] > 0.99
    assert np.allclose([stretch.low for stretch in pair.stretches], low, atol=60)


def test_the_grid_is_that_of_most_rasters(tools: Any, tmp_path: Path) -> None:
    image = np.full((60, 80, 3), 9, np.uint8)
    tools.write(tmp_path / 'before/0.tif', image[:30, :40], size=1.)
    for number in (1, 2):
        tools.write(tmp_path / f'before/{number}.tif', image, 0, 80. * number)
    tools.write(tmp_path / 'after/0.tif', image, 0.5, 0)  # half a pixel off
    plan = tools.open(tmp_path).plan
    assert plan.grid.transform == (tools.PIXEL, 0, tools.ORIGIN[0], 0, -tools.PIXEL, tools.ORIGIN[1])
    assert (plan.grid.height, plan.grid.width) == (60, 240)
    assert plan.a.direct.tolist() == [False, True, True] and plan.b.direct.tolist() == [False]
    coarse = tools.open(tmp_path, out='coarse', resolution=2.).plan
    assert (coarse.grid.height, coarse.grid.width, coarse.grid.transform[0]) == (15, 60, 2)
    degrees = tools.open(tmp_path, out='degrees', crs='EPSG:4326').plan
    assert degrees.grid.rasterio_crs.to_epsg() == 4326 and degrees.grid.width > degrees.grid.height
    with pytest.raises(ValueError, match='--crs nowhere: is no CRS'):
        tools.open(tmp_path, crs='nowhere')
    with pytest.raises(ValueError, match='no block has images of both dates'):
        tools.write(tmp_path / 'after/0.tif', image, 5000, 0)
        tools.open(tmp_path)


def test_inputs_that_were_meant_otherwise(tools: Any, tmp_path: Path) -> None:
    """The same rasters for both dates, and metres where the CRS has degrees: hours of work for an empty result."""
    image = np.random.default_rng(2).integers(1, 255, (60, 80, 3), np.uint8)
    for number in range(2):
        tools.write(tmp_path / f'before/{number}.tif', image, 0, 80 * number)
        tools.write(tmp_path / f'after/{number}.tif', image + 1, 0, 80 * number)
    (tmp_path / 'again').symlink_to(tmp_path / 'before')
    with pytest.raises(ValueError, match='--before and --after name the same rasters, such as .*before/0.tif'):
        tools.open(tmp_path, after=[str(tmp_path / 'again')])
    one = str(tmp_path / 'before/1.tif')
    lines = '\n'.join(describe_plan(tools.open(tmp_path, after=[str(tmp_path / 'after/0.tif'), one])))
    assert f'1 rasters stand for both dates, such as {one}' in lines
    with pytest.raises(ValueError, match=r'--resolution 0.5: gives the region 1 x 0 pixels.*EPSG:4326 \(degree\)'):
        tools.open(tmp_path, crs='EPSG:4326', resolution=0.5)
    lines = '\n'.join(describe_plan(tools.open(tmp_path, out='degrees', crs='EPSG:4326', resolution=5e-6)))
    # At 47.85 degrees one of longitude is 74.84 km and one of latitude 111.2 km.
    assert 'in EPSG:4326 (0.374 x 0.556 m on the ground)' in lines
    assert 'grid: a pixel is 0.374 m wide and 0.556 m high on the ground' in lines


def test_one_number_must_mean_one_thing_in_all_rasters_of_a_date(tools: Any, tmp_path: Path) -> None:
    """As of Sentinel-2 before and after the offset of its processing baseline 04.00."""
    image = np.random.default_rng(2).integers(100, 4000, (40, 50, 3), np.uint16)
    for number in range(2):
        tools.write(tmp_path / f'before/{number}.tif', image, 0, 50 * number)
        with rasterio.open(tools.write(tmp_path / f'after/{number}.tif', image, 0, 50 * number), 'r+') as file:
            file.scales, file.offsets = (1e-4, ) * 3, ((0., -0.1)[number], ) * 3
    with pytest.raises(ValueError, match='--after: .*offsets.*: 0.0001 and -0.1 .*1.tif., 0.0001 and 0 .*0.tif'):
        tools.open(tmp_path)


@pytest.mark.parametrize(('wrong', 'message'), [
    (['--shard', '17/16'], '--shard 17/16: expected a number'), (['--zones', 'none.gpkg'], 'none.gpkg does not exist'),
    (['--aoi', 'none.gpkg'], '--aoi none.gpkg: does not exist'), (['--split', '0.8'], '--split needs the probability'),
    (['--zone-name', 'GEN'], '--zone-name GEN: expected --zones'), (['--tile', '500'], 'a tile of 500 and an overlap')])
def test_what_is_wrong_without_any_raster_is_said_before_they_are_looked_at(
        tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str], message: str) -> None:
    """The headers, and the values, of a county take minutes to read."""
    monkeypatch.setattr('mamba_cd_plugin.regions.region.find_rasters', lambda *args: pytest.fail('rasters are read'))
    with pytest.raises(SystemExit, match=message):
        main(['mosaic', '--before', 'a', '--after', 'b', '--out', str(tmp_path), *wrong])


def test_others_read_what_a_region_leaves(tools: Any, two_rasters: Path) -> None:
    """Every COG by rio-cogeo, GeoParquet by geopandas and by DuckDB, which asks neither GDAL nor shapely."""
    cogeo, duckdb = pytest.importorskip('rio_cogeo'), pytest.importorskip('duckdb')
    geopandas = pytest.importorskip('geopandas')
    summary, _ = tools.make(two_rasters, block=150)
    files = sorted((two_rasters / 'out/blocks').rglob('*.tif'))
    assert len(files) == 2 * summary['blocks_done'] == 12
    for path in files:
        assert cogeo.cog_validate(path, strict=True) == (True, [], []), path
    path = two_rasters / 'out/changes.parquet'
    table = geopandas.read_parquet(path)
    rows = duckdb.sql(f"SELECT id, area_m2, mean_probability, bbox.xmin FROM '{path}' ORDER BY id").fetchall()
    table = table.sort_values('id')
    assert len(rows) == summary['polygons'] > 3
    assert rows == list(zip(table.id, table.area_m2, table.mean_probability, table.bounds.minx))
