"""Situations from public reports about other tools, each with its right value; the report is named at each."""
import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')

from rasterio.warp import transform  # noqa: E402  after the skips

from mamba_cd_plugin.inference.pairs import ReadOptions, open_pair  # noqa: E402


@pytest.mark.parametrize('west', [179.9, -180.1])
def test_across_the_antimeridian(tmp_path, write_raster, west, read):
    """rasterio/rasterio#2222, #1861, cogeotiff/rio-tiler#311: one half of the ground was lost."""
    x, y = (value[0] for value in transform('EPSG:4326', 'EPSG:32601', [-180], [0.5]))
    a = write_raster(tmp_path / 'a.tif', np.full((100, 100, 3), 9, np.uint8), crs='EPSG:32601',
                     origin=(x - 1000, y + 1000), size=20)
    east = np.where(np.arange(400) < 200, 50, 200).astype(np.uint8)  # brighter east of the line
    b = write_raster(tmp_path / 'b.tif', np.tile(east[None, :, None], (400, 1, 3)), crs='EPSG:4326',
                     origin=(west, 0.6), size=0.0005)
    pair, valid, source = read(a, b)
    assert valid.all()
    assert 'covers' not in source.notes[0]
    assert (pair[:, :47, 3] == 50).all()  # 60 m and more to the west, and to the east; a pixel of B has 56 m
    assert (pair[:, 53:, 3] == 200).all()


@pytest.mark.parametrize('bands', [3, 12])
@pytest.mark.parametrize('nodata', [None, 0])
@pytest.mark.parametrize('shift', [0, 4])
def test_the_mask_inside_a_file_outlives_warping(tmp_path, images, write_raster, bands, nodata, shift, read):
    """rasterio/rasterio#2233, #1454: a mask beside a nodata value, or of twelve bands, was lost in a WarpedVRT."""
    a = write_raster(tmp_path / 'a.tif', images[0].astype(np.uint16))
    many = np.concatenate([images[1].astype(np.uint16)] * (bands // 3), axis=2)
    b = write_raster(tmp_path / 'b.tif', many, origin=(500000 + shift / 2, 5300000), nodata=nodata)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(b, 'r+') as file:
        mask = np.full((60, 80), 255, np.uint8)
        mask[:20] = 0
        file.write_mask(mask)
    _, valid, source = read(a, b)
    assert not valid[:20].any()
    assert valid[20:, shift:].all()
    assert any('33.3 % of its pixels have no data (its mask excludes them)' in note for note in source.notes)


def test_naip_cut_to_four_pixels(tmp_path, write_raster, read):
    """rasterio/rasterio#2257: the fourth band, called alpha, holds infrared, and warping gave zeros."""
    values = np.arange(1, 5, dtype=np.uint8).reshape(2, 2)
    names = ['red', 'green', 'blue', 'alpha']
    four = np.dstack([values] * 4)
    a = write_raster(tmp_path / 'a.tif', four, colorinterp=names)
    b = write_raster(tmp_path / 'b.tif', four, colorinterp=names, crs='EPSG:25832', origin=(500000.5, 5300000))
    pair, valid, _ = read(a, b)
    assert pair[..., 0].tolist() == [[1, 2], [3, 4]]
    assert valid.tolist() == [[False, True], [False, True]]
    assert pair[..., 3].tolist()[0][1] == 1  # B lies one pixel further east
    assert pair[..., 3].tolist()[1][1] == 3


def test_an_alpha_band_and_a_nodata_value(tmp_path, a, images, write_raster, read):
    """cogeotiff/rio-cogeo#84: with an alpha band, the nodata value of the same file was forgotten."""
    image = np.dstack([images[1], np.full((60, 80), 255, np.uint8)])
    image[:15, :, :3] = 0
    image[45:, :, 3] = 0
    for shift in (0, 4):
        b = write_raster(tmp_path / 'b.tif', image, colorinterp=['red', 'green', 'blue', 'alpha'], nodata=0,
                         origin=(500000 + shift / 2, 5300000))
        _, valid, source = read(a, b)
        assert not valid[:15].any()
        assert valid[15:45, shift:].all()
        assert not valid[45:].any()
        assert '50.0 % of its pixels have no data (its alpha band 4 is 0, or all bands have' in source.notes[0]


def test_a_background_of_45_and_a_white_and_a_black_one(tmp_path, a, images, write_raster, read):
    """banesullivan/localtileserver#62, hotosm/oam-dynamic-tiler#48: backgrounds that no header names."""
    image = images[1].copy()
    image[:, 60:] = 45
    notes = read(a, write_raster(tmp_path / 'b.tif', image))[2].notes
    assert [note[:66] for note in notes] == ['B: 25.0 % of its pixels are 45 in all bands and reach the border, ']
    image[:, 60:], image[:30, :20] = 255, 0
    notes = read(a, write_raster(tmp_path / 'b.tif', image))[2].notes
    assert [note[:34] for note in notes] == ['B: 12.5 % of its pixels are 0 in a', 'B: 25.0 % of its pixels are 255 in']


@pytest.mark.parametrize('nodata', ['-9999', 'nan', '300'])
def test_a_nodata_value_that_the_type_cannot_hold(tmp_path, a, images, write_raster, nodata, read):
    """banesullivan/localtileserver#197, rasterio/rasterio#289: such a value was taken for 0, or for the nearest one."""
    from rasterio.shutil import copy
    image = images[1].copy()
    image[20:30] = 0
    copy(str(write_raster(tmp_path / 'b.tif', image)), str(tmp_path / 'b.vrt'), driver='VRT')
    page = (tmp_path / 'b.vrt').read_text()
    (tmp_path / 'b.vrt').write_text(page.replace('<ColorInterp>', f'<NoDataValue>{nodata}</NoDataValue><ColorInterp>'))
    pair, valid, _ = read(a, tmp_path / 'b.vrt')
    assert valid.all()
    assert (pair[..., 3:] == image).all()


@pytest.mark.parametrize('shift', [0, 4])
def test_the_users_nodata_value_wins_over_the_headers(tmp_path, a, images, write_raster, shift, read):
    """GlacioHack/geoutils#727, rasterio/rasterio#1379: the header's value overwrote the user's."""
    image = images[1].copy()
    image[:15], image[45:] = 0, 200
    b = write_raster(tmp_path / 'b.tif', image, nodata=200, origin=(500000 + shift / 2, 5300000))
    _, valid, _ = read(a, b, nodata=0)
    assert not valid[:15].any()
    assert valid[15:, shift:].all()


def test_nodata_of_the_images_does_not_break_the_mask(tmp_path, inferencer, images, write_raster):
    """opengeos/segment-geospatial#202, osgeonepal/geotile#68: a nodata value of NaN or -32768 does not fit uint8."""
    for name, nodata in (('nan', float('nan')), ('negative', -32768.)):
        paths = [write_raster(tmp_path / f'{name}{i}.tif', image.astype(np.float32), nodata=nodata)
                 for i, image in enumerate(images)]
        summary = inferencer(paths, out_dir=str(tmp_path / 'out'), tile=128, overlap=32)['predictions'][0]
        with rasterio.open(tmp_path / 'out' / summary['files'][0]) as mask:
            assert (mask.nodata, mask.dtypes) == (255, ('uint8', ))


def test_small_polygons_in_degrees(tmp_path, inferencer, local_model, write_raster):
    """CosmiQ/solaris#397: a smallest area in square degrees dropped every polygon."""
    local_model.forward = lambda pairs: (pairs[..., 0] != pairs[..., 3]).astype(np.float32)
    before = np.full((100, 100, 3), 50, np.uint8)
    after = before.copy()
    after[40:60, 40:80] = 90  # 20 x 40 px of 1e-5 degrees on the equator: 1.106 m by 1.113 m each
    paths = [write_raster(tmp_path / f'{name}.tif', image, crs='EPSG:4326', origin=(10, 0), size=1e-5)
             for name, image in zip('ab', (before, after))]
    for smallest, count in ((900, 1), (1100, 0)):  # the area is 985 m2
        summary = inferencer(paths, out_dir=str(tmp_path / f'{smallest}'), tile=128, overlap=32,
                             min_area=smallest)['predictions'][0]
        assert summary['polygons'] == count


def test_a_transformation_that_needs_a_grid(tmp_path, images, write_raster, monkeypatch, read):
    """OSGeo/gdal#5399, #10510: without the grid of a national datum, B lay up to 100 m off, without a word."""
    from mamba_cd_plugin.io import grids
    a = write_raster(tmp_path / 'a.tif', images[0])
    b = write_raster(tmp_path / 'b.tif', images[1], crs='EPSG:25832', origin=(500002, 5300000))

    class Grid:
        short_name, available = 'de_adv_BETA2007.tif', False

    class Operation:
        grids = [Grid]

    class Known:
        best_available, unavailable_operations = False, [Operation]
        transformers = [type('T', (), dict(description='DHDN to WGS 84 (2)', accuracy=3.))]

    monkeypatch.setattr(grids, 'TransformerGroup', lambda *args, **kwargs: Known)
    assert ('is accurate to about 3 m here, since de_adv_BETA2007.tif is not installed (projsync --file '
            'de_adv_BETA2007.tif)') in read(a, b)[2].notes[0]
    Known.transformers[0].description = 'Ballpark geographic offset from DHDN to WGS 84'
    assert 'only a ballpark transformation is known, and B may lie many metres off' in read(a, b)[2].notes[0]


def test_dates_of_different_offsets(tmp_path, images, write_raster, read):
    """torchgeo/torchgeo#3224, Element84/earth-search#23: since baseline 04.00 Sentinel-2 has 1000 more."""
    before = images[0].astype(np.uint16) * 30
    for name, image, offset in (('a', before, 0.), ('b', before + 1000, -0.1)):
        with rasterio.open(write_raster(tmp_path / f'{name}.tif', image), 'r+') as file:
            file.scales, file.offsets = (1e-4, ) * 3, (offset, ) * 3
    paths = tmp_path / 'a.tif', tmp_path / 'b.tif'
    pair, _, _ = read(*paths)
    assert (pair[..., :3] == pair[..., 3:]).all()  # each date by its own percentiles
    with pytest.raises(ValueError, match='--value-range 0 3600: A and B have different scales .*gdal_translate'):
        open_pair(*paths, ReadOptions(value_range=(0, 3600)))
