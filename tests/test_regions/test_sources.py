"""Where the rasters of a date come from, and the order in which they count."""
import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')

from mamba_cd_plugin.io.rasters import open_raster  # noqa: E402
from mamba_cd_plugin.regions.sources import find_rasters  # noqa: E402


def write(path: Path, column: float = 0, date: str = '', crs: str | None = 'EPSG:32632', bands: int = 3) -> Path:
    """A raster of 40 x 50 pixels."""
    path.parent.mkdir(exist_ok=True, parents=True)
    with rasterio.open(path, 'w', driver='GTiff', count=bands, height=40, width=50, dtype='uint8', crs=crs,
                       transform=rasterio.Affine(0.5, 0, 500000 + column, 0, -0.5, 5300000)) as file:
        file.write(np.full((bands, 40, 50), 7, np.uint8))
        if date:
            file.update_tags(TIFFTAG_DATETIME=date)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three rasters, of which b is the newest and c the oldest, and much that is none."""
    for name, date in (('a', '2020:05:01 10:00:00'), ('b', '2023:05:01 10:00:00'), ('deep/c', '2018:05:01 10:00:00')):
        write(tmp_path / f'tiles/{name}.tif', date=date)
    write(tmp_path / 'tiles/.hidden.tif')
    write(tmp_path / 'tiles/changes/blocks/0_0/mask.tif')
    (tmp_path / 'tiles/changes/grid.json').write_text('{}')
    (tmp_path / 'tiles/readme.txt').write_text('a.tif')
    return tmp_path


def names(inputs: list, order: str = 'first', asset: str | None = None) -> list[str]:
    """The names of the rasters that are found, in their order."""
    return [Path(one.path).stem for one in find_rasters('before', list(map(str, inputs)), order, asset).rasters]


def test_folders_globs_lists_and_files(folder: Path) -> None:
    tiles = folder / 'tiles'
    assert names([tiles]) == ['a', 'b', 'c']
    assert names([tiles / '*.tif']) == ['.hidden', 'a', 'b'] or names([tiles / '*.tif']) == ['a', 'b']
    assert names([tiles / 'deep/c.tif', tiles, tiles / 'a.tif']) == ['c', 'a', 'b']
    (folder / 'list.txt').write_text('# the newest first\ntiles/b.tif\n\ntiles/a.tif\n')
    assert names([folder / 'list.txt']) == ['b', 'a']
    assert names([tiles], 'newest') == ['b', 'a', 'c']


def test_a_virtual_raster_is_one_raster_unless_its_parts_are_there(folder: Path) -> None:
    from rasterio.shutil import copy
    copy(folder / 'tiles/a.tif', folder / 'all.vrt', driver='VRT')
    copy(folder / 'tiles/a.tif', folder / 'tiles/all.vrt', driver='VRT')
    assert names([folder / 'all.vrt']) == ['all'] and names([folder / 'tiles']) == ['a', 'b', 'c']
    before = find_rasters('before', [str(folder / 'all.vrt')]).rasters[0].state
    write(folder / 'tiles/a.tif', column=0)
    assert find_rasters('before', [str(folder / 'all.vrt')]).rasters[0].state != before


def test_tile_indexes(folder: Path) -> None:
    geopandas = pytest.importorskip('geopandas')
    pytest.importorskip('pyarrow')
    import shapely
    rows = dict(location=['tiles/a.tif', str(folder / 'tiles/b.tif')], datetime=['2021-01-01', '2019-01-01T00:00:00Z'])
    table = geopandas.GeoDataFrame(rows, geometry=[shapely.box(0, 0, 1, 1)] * 2, crs='EPSG:4326')
    table.to_file(folder / 'index.geojson', driver='GeoJSON')
    table.to_parquet(folder / 'index.parquet')
    for name in ('index.geojson', 'index.parquet'):
        assert names([folder / name]) == ['a', 'b'] and names([folder / name], 'newest') == ['a', 'b']
    table.assign(datetime=table.datetime[::-1].tolist()).to_parquet(folder / 'index.parquet')
    assert names([folder / 'index.parquet'], 'newest') == ['b', 'a']
    table.rename(columns=dict(location='place')).to_parquet(folder / 'index.parquet')
    with pytest.raises(ValueError, match='index.parquet: is no tile index; expected a column location, path'):
        names([folder / 'index.parquet'])


def stac_items(folder: Path, **assets: str) -> Path:
    """An item collection of two items, the second of which is newer."""
    items = [dict(type='Feature', stac_version='1.0.0', id=f'scene-{number}', bbox=[11, 48, 12, 49], links=[],
                  geometry=dict(type='Point', coordinates=[11, 48]),
                  properties=dict(datetime=f'202{number}-01-01T00:00:00Z'),
                  assets={key: dict(href=href.format('ab'[number])) for key, href in assets.items()})
             for number in range(2)]
    path = folder / 'items.json'
    path.write_text(json.dumps(dict(type='FeatureCollection', features=items)))
    return path


def test_stac_items(folder: Path) -> None:
    pytest.importorskip('pystac')
    assert names([stac_items(folder, visual='./tiles/{}.tif', meta='x.xml')]) == ['a', 'b']
    items = stac_items(folder, rgb='./tiles/{}.tif', cir='./tiles/deep/c.tif')
    with pytest.raises(ValueError, match='scene-0 has the assets rgb, cir. Choose one with --asset'):
        names([items])
    assert names([items], 'newest', 'rgb') == ['b', 'a'] and names([items], asset='cir') == ['c']
    with pytest.raises(ValueError, match="scene-0 has no asset 'nir', but rgb, cir"):
        names([items], asset='nir')


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Gives parts of files, as stores of rasters do; http.server itself gives whole ones only."""

    sent: list[int] = []

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """Give the bytes that are asked for."""
        path, wanted = Path(self.translate_path(self.path)), re.match(r'bytes=(\d+)-(\d*)', self.headers['Range'] or '')
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        self.send_response(206)
        self.send_header('Content-Range', f'bytes {first}-{last}/{len(content)}')
        self.send_header('Content-Length', str(last + 1 - first))
        self.end_headers()
        self.wfile.write(content[first:last + 1])
        self.sent.append(last + 1 - first)


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The folder on the web."""
    RangeHandler.sent.clear()
    handler = functools.partial(RangeHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{web.server_port}'
        web.shutdown()


def test_of_a_raster_on_the_web_only_a_part_is_read(folder: Path, server: str) -> None:
    values = np.random.default_rng(0).integers(0, 255, (1, 2000, 2000), dtype=np.uint8)
    with rasterio.open(folder / 'tiles/large.tif', 'w', driver='GTiff', count=1, height=2000, width=2000, dtype='uint8',
                       crs='EPSG:32632', transform=rasterio.Affine(1, 0, 500000, 0, -1, 5300000), tiled=True) as file:
        file.write(values)
    path = find_rasters('before', [f'{server}/tiles/large.tif']).rasters[0].path
    with open_raster(path) as file:
        part = file.read(1, window=((900, 950), (900, 950)))
    assert np.array_equal(part, values[0, 900:950, 900:950])
    assert 0 < sum(RangeHandler.sent) < values.size / 4


def test_rasters_on_the_web(folder: Path, server: str) -> None:
    pytest.importorskip('pystac')
    stac_items(folder, visual='./tiles/{}.tif')
    found = find_rasters('after', [f'{server}/items.json']).rasters
    assert [one.path for one in found] == [f'/vsicurl/{server}/tiles/{name}.tif' for name in 'ab']
    again = find_rasters('after', [f'{server}/tiles/a.tif']).rasters[0]
    assert again.state == found[0].state and (again.height, again.width) == (40, 50)
    with open_raster(again.path) as file:
        assert file.read().shape == (3, 40, 50) and (file.read() == 7).all()
    missing = find_rasters('after', [f'{server}/tiles/a.tif', f'{server}/tiles/none.tif']).unusable
    assert len(missing) == 1 and 'cannot be read as a raster' in missing[0].reason


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_cannot_be_used_is_named(folder: Path) -> None:
    write(folder / 'tiles/nowhere.tif', crs=None)
    write(folder / 'tiles/two.tif', bands=2)
    plain = folder / 'plain.tif'
    with rasterio.open(plain, 'w', driver='GTiff', count=3, height=4, width=5, dtype='uint8', crs='EPSG:32632'):
        pass
    with pytest.raises(ValueError, match='plain.tif: has a CRS .EPSG:32632., but neither origin nor pixel size'):
        names([plain])
    found = find_rasters('before', [str(folder / 'tiles')], bands=[1, 2, 3])
    assert [Path(one.path).stem for one in found.rasters] == ['a', 'b', 'c']
    assert [one.reason[:10] for one in found.unusable] == ['has no CRS', f'{folder}'[:10]]
    assert 'two.tif has the bands [1, 2]' in found.unusable[1].reason
    with pytest.raises(ValueError, match='--before .*nowhere.tif: none of 1 rasters can be used'):
        names([folder / 'tiles/nowhere.tif'])
    for wrong, what in ((folder / 'none', 'none does not exist'), (folder / 'x*.tif', 'no file has such a name')):
        with pytest.raises(FileNotFoundError, match=what):
            names([wrong])
    (folder / 'empty.json').write_text('{"features": []}')
    with pytest.raises(ValueError, match='empty.json: has no features'):
        names([folder / 'empty.json'])
