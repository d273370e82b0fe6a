"""Where an image lies is used, or refused with what to do; each situation is from a public thread."""
import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')

from rasterio import Affine  # noqa: E402  after the skips
from rasterio.control import GroundControlPoint  # noqa: E402
from rasterio.rpc import RPC  # noqa: E402

from mamba_cd_plugin.inference.pairs import open_pair  # noqa: E402

SMALL = dict(tile=128, overlap=32)
SITE = 'LOCAL_CS["Local Coordinates",UNIT["metre",1]]'
# North up, 40 x 60 px of 0.5 m from (500000, 5300000); and the same ground stored in three other ways.
NORTH_UP = Affine(.5, 0, 500000, 0, -.5, 5300000)
STORED = {
    'bottom row first': (Affine(.5, 0, 500000, 0, .5, 5300000 - 20), lambda image: image[::-1]),
    'turned by 180 degrees': (Affine(-.5, 0, 500000 + 30, 0, .5, 5300000 - 20), lambda image: image[::-1, ::-1]),
    'right column first': (Affine(-.5, 0, 500000 + 30, 0, -.5, 5300000), lambda image: image[:, ::-1]),
    'rows and columns swapped': (Affine(0, .5, 500000, -.5, 0, 5300000), lambda image: image.transpose(1, 0, 2)),
}


@pytest.fixture
def write(tmp_path):

    def write(name, image, transform=NORTH_UP, crs='EPSG:32632', driver='GTiff', **further):
        profile = dict(driver=driver, count=3, height=image.shape[0], width=image.shape[1], dtype=image.dtype)
        with rasterio.open(tmp_path / name, 'w', crs=crs, transform=transform, **profile) as file:
            for key, value in further.items():
                setattr(file, key, value)
            file.write(image.transpose(2, 0, 1))
        return tmp_path / name

    return write


@pytest.fixture
def image(town):
    return town(40, 60)[0]


@pytest.mark.parametrize('way', STORED)
def test_however_the_rows_are_stored_the_same_ground_is_compared(write, image, way, read):
    transform, store = STORED[way]
    other, plain = write('other.tif', store(image), transform), write('plain.tif', image)
    pair, valid, source = read(plain, other)
    assert (pair[..., 3:] == image).all()
    assert valid.all()
    assert 'covers' not in source.notes[0]
    pair, valid, source = read(other, plain)  # and the result then lies as A does
    assert (pair[..., :3] == pair[..., 3:]).all()
    assert valid.all()
    assert source.transform == transform
    mirrored = any('A is stored mirrored' in note for note in source.notes)
    assert mirrored == (way != 'turned by 180 degrees')


def test_a_mask_of_a_bottom_up_image_lies_where_the_change_is(tmp_path, write, inferencer, local_model):
    local_model.forward = lambda pairs: (pairs[..., 0] != pairs[..., 3]).astype(np.float32)
    before = np.full((40, 60, 3), 50, np.uint8)
    after = before.copy()
    after[10:20, 30:50] = 90  # from the north: 5 m to 10 m below the upper border, 15 m to 25 m from the left one
    transform, store = STORED['bottom row first']
    paths = write('a.tif', store(before), transform), write('b.tif', after)
    summary = inferencer(paths, out_dir=str(tmp_path / 'out'), min_area=0, **SMALL)['predictions'][0]
    assert summary['changed_pixels'] == 200
    polygons = geopandas.read_file(tmp_path / 'out' / 'a_polygons.gpkg')
    assert polygons.total_bounds.tolist() == [500015, 5299990, 500025, 5299995]
    with rasterio.open(tmp_path / 'out' / 'a_mask.tif') as mask:
        assert mask.transform == transform
        assert (mask.read(1)[::-1] == (after[..., 0] == 90)).all()


def test_the_same_grid_under_another_name_is_read_pixel_by_pixel(write, image, read):
    # ETRS89 and WGS 84 are one to a centimetre as PROJ has them, and so are their zones 32.
    _, _, source = read(write('a.tif', image), write('b.tif', image + 1, crs='EPSG:25832'))
    assert source.notes == []


def rpcs(latitude):
    one, line, sample = [1.] + [0.] * 19, [0., 0., -1.] + [0.] * 17, [0., 1.] + [0.] * 18
    return RPC(err_bias=0, err_rand=0, height_off=100, height_scale=500, lat_off=latitude, lat_scale=.1, long_off=9,
               long_scale=.1, line_off=20, line_scale=20, samp_off=30, samp_scale=30, line_num_coeff=line,
               line_den_coeff=one, samp_num_coeff=sample, samp_den_coeff=one)


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_raw_scenes_without_a_grid_are_refused(write, image):
    plain = write('plain.tif', image)
    raw = write('raw.tif', image, None, None, rpcs=rpcs(48.))
    with pytest.raises(ValueError, match=r'raw.tif: is a raw scene .*RPC.*gdalwarp -rpc'):
        open_pair(plain, raw)
    corners = [(row, column) for row in (0, 40) for column in (0, 60)]
    points = [GroundControlPoint(row, column, 9 + column / 1e4, 48 - row / 1e4) for row, column in corners]
    pinned = write('pinned.tif', image, None, None, gcps=(points, rasterio.CRS.from_epsg(4326)))
    with pytest.raises(ValueError, match=r'pinned.tif: is located by 4 ground control points.*gdalwarp -t_srs'):
        open_pair(pinned, plain)


def test_rational_polynomials_beside_a_grid_do_not_matter(write, image, read):
    pair, valid, _ = read(write('a.tif', image), write('b.tif', image + 1, rpcs=rpcs(48.)))
    assert valid.all() and (pair[..., 3:] == image + 1).all()


def test_a_local_crs_is_used(tmp_path, write, inferencer, local_model, image, read):
    local_model.forward = lambda pairs: (pairs[..., 0] != pairs[..., 3]).astype(np.float32)
    after = image.copy()
    after[4:8, 10:20] = 255
    a, b = write('a.tif', image, crs=SITE), write('b.tif', after, crs=SITE)
    summary = inferencer((a, b), out_dir=str(tmp_path / 'out'), min_area=0, **SMALL)['predictions'][0]
    assert summary['changed_area_m2'] == 10.  # 40 px of 0.25 m2
    shifted = write('shifted.tif', image, NORTH_UP @ Affine.translation(4, 0), crs=SITE)
    pair, valid, _ = read(a, shifted)
    assert (pair[:, 4:, 3:] == image[:, :-4]).all()
    assert valid.sum() == 40 * 56


def test_what_a_local_crs_cannot_do_is_said_before_it_is_tried(tmp_path, write, inferencer, local_model, image):
    a, b = write('a.tif', image, crs=SITE), write('b.tif', image + 1, crs=SITE)
    with pytest.raises(ValueError, match='a: is in the CRS "Local Coordinates", which has no place .*--polygons gpkg'):
        inferencer((a, b), out_dir=str(tmp_path / 'out'), polygons='geojson', **SMALL)
    far = write('far.tif', image, Affine.translation(1000, 0) @ NORTH_UP, crs=SITE)
    with pytest.raises(ValueError, match=r'do not overlap: A lies at 500000.00\.\.500030.00, .*"Local Coordinates"'):
        open_pair(a, far)
    with pytest.raises(ValueError, match='utm.tif is in EPSG:32632, .* no way from one to the other is known'):
        open_pair(a, write('utm.tif', image))
    assert local_model.seen == []


def test_a_raster_without_a_crs_gives_no_geojson(tmp_path, write, inferencer, image):
    paths = write('a.tif', image, crs=None), write('b.tif', image + 1, crs=None)
    with pytest.raises(ValueError, match='a: has no CRS, and GeoJSON holds longitude and latitude'):
        inferencer(paths, out_dir=str(tmp_path / 'out'), polygons='geojson', **SMALL)


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_a_crs_without_a_position(write, image):
    with pytest.raises(ValueError, match='b.tif has a CRS .EPSG:32632., but neither origin nor pixel size.*gdal_edit'):
        open_pair(write('a.tif', image), write('b.tif', image, Affine.identity()))


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning', "ignore:'crs' was not provided")
def test_a_crs_without_a_position_makes_no_metres_of_pixels(tmp_path, write, inferencer, local_model, image):
    """As of tiles that were written with the CRS of their scene only: the pixel would be one of a metre off Africa."""
    local_model.forward = lambda pairs: (pairs[..., 0] != pairs[..., 3]).astype(np.float32)
    later = image.copy()
    later[10:20, 10:25] ^= 128
    paths = write('a.tif', image, Affine.identity()), write('b.tif', later, Affine.identity())
    summary = inferencer(paths, out_dir=str(tmp_path / 'out'), **SMALL)['predictions'][0]
    assert (summary['changed_area_px'], summary['polygons']) == (150, 1)
    assert summary['notes'] == ['A and B have a CRS (EPSG:32632), but neither origin nor pixel size, so that areas, '
                                'also that of --min-area, are in pixels (gdal_edit.py -a_ullr assigns it)']
    with rasterio.open(tmp_path / 'out/a_mask.tif') as mask:
        assert mask.crs is None and mask.transform.is_identity


def test_a_projection_file_that_gdal_does_not_read_is_named(tmp_path, write, image):
    """ArcGIS writes .tif, .tfw and .prj, of which GDAL reads the first two."""
    a, b = write('a.tif', image, crs=None), write('b.tif', image + 1)
    (tmp_path / 'a.prj').write_text(rasterio.CRS.from_epsg(32632).wkt)
    with pytest.raises(ValueError, match='a.tif has no CRS, but .*b.tif has EPSG:32632.*gdal_edit.py -a_srs .*a.prj '):
        open_pair(a, b)
    with open_pair(a, write('c.tif', image + 1, crs=None)) as source:
        assert source.notes == [f'A and B have no CRS, so that areas, also that of --min-area, are in pixels '
                                f'(gdal_edit.py -a_srs {tmp_path / "a.prj"} {a} assigns it)']


@pytest.mark.parametrize(('crs', 'corner', 'utm'), [
    ('EPSG:4326', (10, 60), 32632), ('EPSG:4326', (-70, -60), 32719), ('EPSG:4326', (10, 20), None),
    ('EPSG:3857', (0, 8399737.9), None), ('EPSG:32632', (500000, 6650000), None)])
def test_pixels_that_are_no_squares_on_the_ground_are_said(write, image, crs, corner, utm):
    size = 1e-5 if crs == 'EPSG:4326' else 1.
    grid = Affine(size, 0, corner[0], 0, -size, corner[1])
    with open_pair(write('a.tif', image, grid, crs), write('b.tif', image + 1, grid, crs)) as source:
        # At 60 degrees one of longitude is 55.80 km and one of latitude 111.41 km, at 20 degrees 104.6 and 110.7 km.
        notes = ['A: a pixel is 0.558 m wide and 1.11 m high '] if utm else []
        assert [note[:note.index('on')] for note in source.notes] == notes
        assert all(f'gdalwarp -t_srs EPSG:{utm} ' in note for note in source.notes)


def test_the_same_file_twice(tmp_path, write, image, read):
    a = write('a.tif', image)
    (tmp_path / 'link.tif').symlink_to(a)
    for again in (a, tmp_path / 'link.tif'):
        with pytest.raises(ValueError, match='A and B are the same file, .*a.tif; expected the earlier and the later'):
            open_pair(a, again)
    assert read(a, write('copy.tif', image))[2].notes == ['A and B hold the same values: are they two copies of one '
                                                          'image?']


def test_a_virtual_raster_without_its_source(tmp_path, write, image, read):
    from rasterio.shutil import copy
    a, b = write('a.tif', image), write('b.tif', image + 1)
    copy(str(b), str(tmp_path / 'one.vrt'), driver='VRT')
    copy(str(tmp_path / 'one.vrt'), str(tmp_path / 'two.vrt'), driver='VRT')
    assert (read(a, tmp_path / 'two.vrt')[0][..., 3:] == image + 1).all()
    b.unlink()
    for name in ('one', 'two'):  # GDAL writes the source of the first into the second
        with pytest.raises(FileNotFoundError, match=f'{name}.vrt: is a virtual raster that refers to .*b.tif'):
            open_pair(a, tmp_path / f'{name}.vrt')


@pytest.mark.parametrize('kind', ['world file', 'aux'])
def test_pictures_that_say_where_they_lie_are_rasters(tmp_path, inferencer, image, kind, read):
    from PIL import Image
    for name, left in (('a', 500000), ('b', 500002)):  # B begins 4 px further east
        Image.fromarray(image).save(tmp_path / f'{name}.png')
        if kind == 'world file':  # centre of the upper left pixel
            (tmp_path / f'{name}.pgw').write_text(f'0.5\n0\n0\n-0.5\n{left + .25}\n5299999.75\n')
        crs = rasterio.CRS.from_epsg(32632).to_wkt().replace('"', '&quot;')
        where = '' if kind == 'world file' else f'<GeoTransform>{left}, 0.5, 0, 5300000, 0, -0.5</GeoTransform>'
        (tmp_path / f'{name}.png.aux.xml').write_text(f'<PAMDataset><SRS>{crs}</SRS>{where}</PAMDataset>')
    pair, valid, source = read(tmp_path / 'a.png', tmp_path / 'b.png')
    assert (pair[:, 4:, 3:] == image[:, :-4]).all()
    assert valid.sum() == 40 * 56
    assert 'B is warped onto the grid of A' in source.notes[0]
    summary = inferencer((tmp_path / 'a.png', tmp_path / 'b.png'), out_dir=str(tmp_path / 'out'),
                         **SMALL)['predictions'][0]
    assert summary['files'][0] == 'a_mask.tif'


def test_pictures_with_world_files_of_different_places(tmp_path, image):
    from PIL import Image
    for name, left in (('a', 500000), ('b', 600000)):
        Image.fromarray(image).save(tmp_path / f'{name}.jpg')
        (tmp_path / f'{name}.jgw').write_text(f'0.5\n0\n0\n-0.5\n{left}\n5300000\n')
    with pytest.raises(ValueError, match=r'a.jpg \(60 x 40, upper left at 499999.75.*b.jpg .*599999.75.*have no CRS'):
        open_pair(tmp_path / 'a.jpg', tmp_path / 'b.jpg')


def test_statistics_beside_a_picture_do_not_make_it_a_raster(tmp_path, image):
    from PIL import Image
    for name in 'ab':
        Image.fromarray(image).save(tmp_path / f'{name}.png')
    (tmp_path / 'a.png.aux.xml').write_text('<PAMDataset><PAMRasterBand band="1"><Histograms/></PAMRasterBand>')
    assert not open_pair(tmp_path / 'a.png', tmp_path / 'b.png').is_raster


@pytest.mark.parametrize('defect', ['cut', 'turned'])
def test_a_picture_with_a_world_file_that_is_cut_or_turned(tmp_path, image, defect):
    from PIL import Image
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in 'ab':
        Image.fromarray(image).save(tmp_path / f'{name}.jpg', **(dict(exif=exif) if defect == 'turned' else {}))
        (tmp_path / f'{name}.jgw').write_text('0.5\n0\n0\n-0.5\n500000\n5300000\n')
    if defect == 'cut':
        (tmp_path / 'a.jpg').write_bytes((tmp_path / 'a.jpg').read_bytes()[:-300])
    message = 'a.jpg: reading rows 0 to 40 failed' if defect == 'cut' else r'a.jpg: its EXIF orientation .6. says'
    with pytest.raises((OSError, ValueError), match=message):
        open_pair(tmp_path / 'a.jpg', tmp_path / 'b.jpg')
