"""The files of a region against those of one prediction, opened with what users open them with."""
import json
import re
from datetime import datetime, timezone

import numpy as np
import pytest
from scipy import ndimage

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')
pytest.importorskip('pyarrow')
pystac = pytest.importorskip('pystac')

from rasterio.crs import CRS  # noqa: E402  after the skips
from rasterio.shutil import copy as copy_raster  # noqa: E402

from mamba_cd_plugin.inference.array_pair import ArrayPair  # noqa: E402
from mamba_cd_plugin.inference.pairs import ReadOptions  # noqa: E402
from mamba_cd_plugin.inference.polygons import vectorize  # noqa: E402
from mamba_cd_plugin.regions.finish import FinishOptions, RegionFacts, finish  # noqa: E402
from mamba_cd_plugin.regions.grid import RegionGrid  # noqa: E402
from mamba_cd_plugin.regions.zones import Zones  # noqa: E402

pytestmark = pytest.mark.filterwarnings('ignore::PendingDeprecationWarning')
DATES = datetime(2019, 5, 1, tzinfo=timezone.utc), datetime(2023, 6, 1, tzinfo=timezone.utc)
SHAPE = 150, 230


@pytest.fixture(scope='module')
def change():
    """A mask with shapes of all sizes, and a probability that agrees with it."""
    noise = ndimage.gaussian_filter(np.random.default_rng(3).random(SHAPE), 2.5)
    low, high = noise.min(), noise.max()
    steps = ((noise - low) / (high - low) * 254 + 0.5).astype(np.uint8)
    return (steps > 140).astype(np.uint8), steps


@pytest.fixture
def predicted(tmp_path, change):
    """The polygons of one prediction."""

    def run(**options):
        path = tmp_path / 'whole.tif'
        transform = rasterio.Affine(0.5, 0, 500000., 0, -0.5, 5300000.)
        with rasterio.open(path, 'w', driver='GTiff', count=1, height=SHAPE[0], width=SHAPE[1], dtype='uint8',
                           nodata=255, crs='EPSG:32632', transform=transform) as file:
            file.write(change[0], 1)
        return vectorize(path, change[1], **options)

    return run


@pytest.fixture(scope='module')
def regions(tmp_path_factory, change, write_region):
    """The same in blocks of two sizes."""
    out = tmp_path_factory.mktemp('regions')
    for block in (64, 90):
        write_region(out / str(block), *change, block, cog=False)
    return out


def rows(table):
    """What two tables of polygons must have in common, whatever their order."""
    return sorted((shape.normalize().wkb, area, probability) for shape, area, probability in zip(
        table.geometry, table.area_m2, table.mean_probability))


@pytest.mark.parametrize('options', [
    dict(min_area=0, outline='pixels'), dict(min_area=10, outline='simple'), dict(min_area=3, outline='square'),
    dict(min_area=3, outline='simple', split=0.7)], ids=str)
def test_polygons_are_those_of_one_prediction(change, regions, predicted, options):
    expected = predicted(**options)
    found = {}
    for block in (64, 90):
        summary = finish(regions / str(block), FinishOptions(page=False, **options))
        table = geopandas.read_parquet(regions / str(block) / 'changes.parquet')
        assert rows(table) == rows(expected)
        assert table.crs.to_epsg() == 32632
        assert (summary['polygons'], summary['changed_pixels']) == (len(expected), change[0].sum())
        assert summary['changed_area_m2'] == pytest.approx(expected.area_m2.sum(), abs=0.01)
        found[block] = dict(zip(table.id, table.geometry.to_wkb()))
    assert found[64] == found[90]  # also the ids
    if 'split' in options:
        assert len(expected) > len(predicted(**dict(options, split=None)))


def test_everything_that_a_region_leaves(tmp_path, change, write_region, predicted):
    out = tmp_path / 'town'
    grid = write_region(out, *change, 64, gaps=[(0, 1)])
    images = np.random.default_rng(0).integers(0, 255, (2, *SHAPE, 3), np.uint8)
    planned = [(row, column) for row in range(3) for column in range(4) if (row, column) != (2, 3)]
    facts = RegionFacts(planned, None, {(0, 1): 'disk <full>'}, {'no image after': [(2, 3)]}, (), DATES, 'small')
    arguments = FinishOptions(polygons='fgb'), facts, lambda: ArrayPair(*images, ReadOptions())
    summary = finish(out, *arguments)
    files = ['changes.fgb', 'changes.parquet', 'index.html', 'item.json', 'mask.vrt', 'probability.vrt']
    assert sorted(summary['files']) == files
    assert sorted(path.name for path in out.glob('[!.]*')) == sorted([*files, 'blocks', 'grid.json', 'summary.json'])
    assert summary == json.loads((out / 'summary.json').read_text())
    assert (summary['blocks'], summary['blocks_done']) == (11, 10)
    assert summary['failed'] == [dict(block='0_1', reason='disk <full>')]
    assert summary['gaps'] == {'no image after': ['2_3']}

    expected = change[0].copy()
    expected[:64, 64:128] = 255
    (top, bottom), (left, right) = grid.window(2, 3)
    expected[top:bottom, left:right] = 255
    with rasterio.open(out / 'mask.vrt') as mask, rasterio.open(out / 'probability.vrt') as probability:
        np.testing.assert_array_equal(mask.read(1), expected)
        assert (mask.crs.to_epsg(), mask.transform, mask.nodata) == (32632, grid.affine, 255)
        assert (probability.read(1) == np.where(expected == 255, 255, change[1])).all()

    parquet, fgb = geopandas.read_parquet(out / 'changes.parquet'), geopandas.read_file(out / 'changes.fgb')
    assert sorted(fgb.columns) == ['area_m2', 'geometry', 'id', 'mean_probability']
    assert rows(fgb) == rows(parquet) and len(parquet) == summary['polygons'] > 20
    assert rows(geopandas.read_parquet(out / 'changes.parquet', bbox=(500000, 5299990, 500010, 5300000))) == rows(
        parquet[parquet.intersects(shapely.box(500000, 5299990, 500010, 5300000))])

    item = pystac.Item.from_file(str(out / 'item.json'))
    assert pystac.validation.validate_dict(item.to_dict(), extensions=[])  # the core; extensions are on the web
    assert (item.properties['proj:code'], item.properties['mamba_cd:polygons']) == ('EPSG:32632', len(parquet))
    assert all((out / asset.href).is_file() for asset in item.assets.values())
    assert item.bbox[0] == pytest.approx(9, abs=1e-6) and item.bbox[3] == pytest.approx(47.8556, abs=0.01)

    page = (out / 'index.html').read_text()
    assert set(re.findall(r'https?://[^\'"\s]*', page)) == {'http://www.w3.org/2000/svg'}
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    assert len(data['changes']) == len(parquet)
    assert data['changes'][0]['area'] == parquet.area_m2.max()
    assert data['before'].startswith('data:image/jpeg') and data['missing'] == [[64, 0, 128, 64], [192, 128, 230, 150]]
    certain = [change['probability'] for change in data['changes']]
    assert min(certain) == parquet.mean_probability.min()

    before = {path: path.stat().st_mtime_ns for path in out.glob('*.*')}
    assert finish(out, *arguments) == summary
    assert {path: path.stat().st_mtime_ns for path in out.glob('*.*')} == before
    content = {name: (out / name).read_bytes() for name in [*files, 'summary.json']}
    (out / 'mask.vrt').unlink()
    finish(out, *arguments)
    assert {name: (out / name).read_bytes() for name in content} == content
    (out / 'summary.json').unlink()  # as a run that was killed leaves it
    finish(out, FinishOptions(page=False))
    assert not (out / 'index.html').exists() and not (out / 'changes.fgb').exists()


@pytest.mark.parametrize('crs', ['EPSG:3035', 'EPSG:32632'])
def test_the_virtual_raster_has_its_axes_as_its_blocks_have_them(tmp_path, change, write_region, crs):
    """The first axis of EPSG:3035 is north. rasterio does not ask which one x is, but gdalwarp does."""
    write_region(tmp_path / 'out', *change, 200, crs=crs)
    finish(tmp_path / 'out', FinishOptions(page=False))
    axes = []
    for name in ('mask.vrt', 'blocks/0_0/mask.tif'):
        copy_raster(str(tmp_path / 'out' / name), str(tmp_path / 'axes.vrt'), driver='VRT')  # by GDAL, which names them
        axes.append(re.search('<SRS dataAxisToSRSAxisMapping="([12,]+)"', (tmp_path / 'axes.vrt').read_text())[1])
    assert axes == (['1,2'] * 2 if crs == 'EPSG:32632' else ['2,1'] * 2)


@pytest.mark.parametrize('choice', ['gpkg', 'geojson', 'fgb'])
def test_the_same_polygons_in_another_format(tmp_path, change, write_region, choice):
    write_region(tmp_path, *change, 90, cog=False)
    summary = finish(tmp_path, FinishOptions(polygons=choice, page=False))
    assert f'changes.{choice}' in summary['files']
    parquet = geopandas.read_parquet(tmp_path / 'changes.parquet').set_index('id')
    other = geopandas.read_file(tmp_path / f'changes.{choice}').set_index('id').loc[parquet.index]
    assert other.crs.to_epsg() == (4326 if choice == 'geojson' else 32632)
    assert other.to_crs(32632).geometry.hausdorff_distance(parquet.geometry).max() < (
        0.01 if choice == 'geojson' else 1e-9)  # seven decimals of a degree are a centimetre
    assert (other.area_m2 == parquet.area_m2).all() and (other.mean_probability == parquet.mean_probability).all()


def test_zones_by_hand(tmp_path, write_region):
    mask = np.zeros((60, 100), np.uint8)
    mask[10:20, 10:30] = 1  # 200 px = 50 m2 in zone 1
    mask[30:40, 40:60] = 1  # half in zone 1, half in zone 2; the centre on their border is in both
    mask[50:54, 88:98] = 1  # 10 m2, a fifth of it in zone 2
    write_region(tmp_path / 'out', mask, mask * np.uint8(254), 32, cog=False)
    west, north = 500000, 5300000
    zones = geopandas.GeoDataFrame(
        dict(Name=['one', 'never drawn', 'two'], code=[7, 9, 8]),
        geometry=[shapely.box(west, north - 30, west + 25, north), None,
                  shapely.box(west + 25, north - 30, west + 45, north)], crs='EPSG:32632')
    zones.to_crs('EPSG:4326').to_file(tmp_path / 'zones.geojson')
    options = FinishOptions(page=False, outline='pixels', zones=str(tmp_path / 'zones.geojson'))
    summary = finish(tmp_path / 'out', options)
    one, two = summary['zones']
    assert (one['name'], two['name']) == ('one', 'two')
    # The scale of UTM is 0.9996 on the central meridian, so the ground is 0.08 % larger.
    assert [one['changed_area_m2'], two['changed_area_m2']] == pytest.approx([75 * 1.0008, 27 * 1.0008], abs=0.02)
    assert one['zone_area_m2'] == pytest.approx(750 * 1.0008, abs=0.1)
    assert summary['outside_zones']['changed_area_m2'] == pytest.approx(8 * 1.0008, abs=0.02)
    assert summary['outside_zones']['polygons'] == 1
    named = finish(tmp_path / 'out', options._replace(zone_name='code'))
    assert [zone['name'] for zone in named['zones']] == ['7', '8']
    with pytest.raises(ValueError, match=r"has no column 'nam', but Name, code"):
        finish(tmp_path / 'out', options._replace(zone_name='nam'))


def test_zones_as_large_as_the_world(tmp_path, write_region, monkeypatch):
    """Zones of which most has no place in the CRS of the region, and one with long sides along parallels."""
    mask = np.zeros((60, 100), np.uint8)
    mask[10:20, 10:30] = 1  # 50 m2 at 9.000 E, 47.85 N
    write_region(tmp_path / 'out', mask, mask * np.uint8(254), 60, cog=False)
    north = np.degrees(np.arcsin(0.5))  # of a sphere, half of the hemisphere lies beyond it
    zones = dict(world=shapely.box(-180, -90, 180, 90), from_0=shapely.box(0, -90, 360, 90),
                 hemisphere=shapely.box(-180, 0, 180, 90), west=shapely.box(-180, -90, 0, 90),
                 wide=shapely.box(-40, 47.85, 120, 80),  # whose side between its corners would run far in the north
                 fiji=shapely.Polygon([(179, -20), (-179, -20), (-179, -10), (179, -10)]),
                 arctic=shapely.box(-180, north, 180, 90))
    geopandas.GeoDataFrame(dict(name=list(zones)), geometry=list(zones.values()), crs='EPSG:4326').to_file(
        tmp_path / 'zones.geojson')
    options = FinishOptions(page=False, outline='pixels', zones=str(tmp_path / 'zones.geojson'))
    summary = finish(tmp_path / 'out', options)
    found = {zone['name']: zone for zone in summary['zones']}
    assert {name for name, zone in found.items() if zone['polygons'] == 1} == {
        'world', 'from_0', 'hemisphere', 'wide', 'arctic'}
    for name, zone in found.items():
        assert zone['changed_area_m2'] == pytest.approx(50 * 1.0008 * zone['polygons'], abs=0.02), name
    assert summary['outside_zones'] == dict(polygons=0, changed_area_m2=0)
    earth = 510065621.7e6  # of the ellipsoid of WGS 84, as it is published
    geopandas.read_file(tmp_path / 'zones.geojson').to_crs('EPSG:3035').to_parquet(tmp_path / 'torn.parquet')
    said = []
    monkeypatch.setattr('mamba_cd_plugin.regions.zones.print_log', lambda line, *args: said.append(line))
    finish(tmp_path / 'out', options._replace(zones=str(tmp_path / 'torn.parquet')))
    assert re.search(r'torn.parquet: \d have no area.*: world, from_0', said[0])
    areas = {name: zone['zone_area_m2'] / earth for name, zone in found.items()}
    assert [areas[name] for name in ('world', 'from_0', 'hemisphere', 'west')] == pytest.approx(
        [1, 1, .5, .5], rel=1e-6)
    web = geopandas.read_file(tmp_path / 'zones.geojson').set_index('name').loc[['hemisphere', 'world']]
    web.geometry = shapely.clip_by_rect(web.geometry.to_numpy(), -180, -85, 180, 85)
    web.to_crs('EPSG:3857').reset_index().to_parquet(tmp_path / 'web.parquet')
    half, both = finish(tmp_path / 'out', options._replace(zones=str(tmp_path / 'web.parquet')))['zones']
    assert (half['polygons'], both['polygons']) == (1, 1)
    assert [half['zone_area_m2'], both['zone_area_m2']] == pytest.approx(
        [earth * np.sin(np.radians(85)) / 2, earth * np.sin(np.radians(85))], rel=1e-4)  # of the sphere
    # Shares of the sphere; the ellipsoid differs by a part in 300 at most.
    assert areas['arctic'] == pytest.approx(0.25, rel=0.01)
    assert areas['fiji'] == pytest.approx(2 / 360 * (np.sin(np.radians(20)) - np.sin(np.radians(10))) / 2, rel=0.01)


@pytest.mark.parametrize('west', [-179.99, 179.99, 179.9995])
def test_zones_across_the_antimeridian_of_a_region_in_degrees(tmp_path, west):
    """On either side and across, however the longitudes of region and zones are counted."""
    grid = RegionGrid(CRS.from_epsg(4326).to_wkt(), (1e-5, 0, west, 0, -1e-5, -15), 100, 100, 50)
    zones = dict(ring=shapely.Polygon([(179, -20), (-179, -20), (-179, -10), (179, -10)]),
                 parts=shapely.MultiPolygon([shapely.box(179, -20, 180, -10), shapely.box(-180, -20, -179, -10)]),
                 beyond=shapely.force_3d(shapely.box(179, -20, 181, -10), 5.), from_0=shapely.box(0, -90, 360, 90),
                 world=shapely.box(-180, -90, 180, 90), elsewhere=shapely.box(178, -20, 179, -10))
    geopandas.GeoDataFrame(dict(name=list(zones)), geometry=list(zones.values()), crs='EPSG:4326').to_parquet(
        tmp_path / 'zones.parquet')
    counted = Zones(tmp_path / 'zones.parquet', grid)
    changes = [shapely.box(west + at, -15.0002, west + at + 1e-4, -15.0001) for at in (1e-4, 8e-4)]
    counted.add(np.array(changes), np.array([10., 20.]))
    assert [(row['polygons'], row['changed_area_m2']) for row in counted.result()] == [(2, 30.)] * 5 + [(0, 0.)]


@pytest.mark.parametrize(('name', 'text'), [('zones.csv', 'name,area\nhere,5\n'), ('zones.geojson', json.dumps(dict(
    type='FeatureCollection', features=[dict(type='Feature', properties=dict(name='here'), geometry=None)])))])
def test_zones_without_any_geometry(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    grid = RegionGrid(CRS.from_epsg(4326).to_wkt(), (1e-5, 0, 9, 0, -1e-5, 47), 100, 100, 50)
    with pytest.raises(ValueError, match=f'{name}: expected polygons, got nothing'):
        Zones(tmp_path / name, grid)


def test_what_cannot_be_had(tmp_path, change, write_region):
    with pytest.raises(ValueError, match='holds no blocks of a region'):
        finish(tmp_path)
    write_region(tmp_path / 'out', *change, 64, cog=False)
    for options, message in ((dict(polygons='shp'), 'polygons: expected one of gpkg, geojson, fgb, parquet'),
                             (dict(outline='round'), 'outline: expected one of'), (dict(split=1.5), 'split: expected')):
        with pytest.raises(ValueError, match=message):
            finish(tmp_path / 'out', FinishOptions(**options))
    (tmp_path / 'out/blocks/0_0/probability.tif').unlink()
    with pytest.raises(ValueError, match='--split needs the probability'):
        finish(tmp_path / 'out', FinishOptions(split=0.8))
    (tmp_path / 'out/changes.parquet').write_text('of the user')
    with pytest.raises(FileExistsError, match='changes.parquet would be overwritten'):
        finish(tmp_path / 'out')
    assert (tmp_path / 'out/changes.parquet').read_text() == 'of the user'


def test_a_region_too_wide_for_a_map_says_so(tmp_path, write_region, monkeypatch):
    mask = np.ones((40, 50), np.uint8)
    write_region(tmp_path, mask, mask, 32, cog=False)
    monkeypatch.setattr('mamba_cd_plugin.regions.page.LARGEST_SIDE', 49)
    summary = finish(tmp_path)
    assert summary['no_page'].startswith('the region has 50 px along its longer side')
    assert not (tmp_path / 'index.html').exists() and 'item.json' not in summary['files']
