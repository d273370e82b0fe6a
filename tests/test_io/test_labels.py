"""Labels in every kind of file that people have sent around: read for what they show, or refused."""
import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.io.labels import read_label
from mamba_cd_plugin.io.pictures import IGNORE_INDEX, read_rgb

TRUTH = np.zeros((8, 12), np.uint8)
TRUTH[2:5, 3:9] = 1
WHITE = TRUTH * 255


def save(path, array, mode=None, **options):
    Image.fromarray(array, mode).save(path, **options)
    return str(path)


def palette(path, indices, *colours, **options):
    image = Image.fromarray(indices.astype(np.uint8), 'P')
    image.putpalette([value for colour in colours for value in colour])
    image.save(path, **options)
    return str(path)


def raster(path, array, colormap=None, **profile):
    rasterio = pytest.importorskip('rasterio')
    bands = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    with rasterio.open(path, 'w', driver='GTiff', count=len(bands), height=8, width=12, dtype=bands.dtype,
                       **profile) as file:
        file.write(bands)
        if colormap:
            file.write_colormap(1, colormap)
    return str(path)


@pytest.mark.filterwarnings('ignore:Dataset has no geotransform')
@pytest.mark.parametrize('dtype', ['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'int64', 'uint64', 'float32',
                                   'float64'])
def test_types(tmp_path, dtype):
    assert (read_label(raster(tmp_path / 'x.tif', TRUTH.astype(dtype))) == TRUTH).all()


@pytest.mark.parametrize('array', [TRUTH > 0, WHITE, WHITE.astype(np.uint16), np.dstack([WHITE] * 3),
                                   np.dstack([WHITE, np.full_like(WHITE, 255)]), np.dstack([WHITE] * 4)])
@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_plain_kinds(tmp_path, array, suffix):
    assert (read_label(save(tmp_path / f'x{suffix}', array)) == TRUTH).all()


def test_white_with_its_content_in_alpha(tmp_path):
    white = np.full_like(WHITE, 255)
    assert (read_label(save(tmp_path / 'la.png', np.dstack([white, WHITE]))) == TRUTH).all()
    assert (read_label(save(tmp_path / 'rgba.png', np.dstack([white] * 3 + [WHITE]))) == TRUTH).all()
    assert (read_label(raster(tmp_path / 'rgba.tif', np.dstack([white] * 3 + [WHITE]), photometric='RGB',
                              alpha='yes')) == TRUTH).all()
    said = r'black\.png: a label with transparent pixels .*81\.2% of the pixels.*-flatten'
    with pytest.raises(ValueError, match=said):
        read_label(save(tmp_path / 'black.png', np.dstack([0 * white, WHITE])))


def test_palettes_by_their_colours(tmp_path):
    black, white = (0, 0, 0), (255, 255, 255)
    assert (read_label(palette(tmp_path / 'a.png', TRUTH, black, white)) == TRUTH).all()
    assert (read_label(palette(tmp_path / 'b.png', 1 - TRUTH, white, black)) == TRUTH).all()  # as quantize() writes it
    opaque = dict(transparency=bytes([255, 255]))
    assert (read_label(palette(tmp_path / 'c.png', 1 - TRUTH, white, black, **opaque)) == TRUTH).all()
    assert (read_label(palette(tmp_path / 'voc.png', TRUTH, black, (128, 0, 0))) == TRUTH).all()
    voc = np.where(TRUTH == 1, 1, 0)
    voc[0] = 255
    colours = [black, (128, 0, 0)] + [(1, 1, 1)] * 253 + [(224, 224, 192)]
    label = read_label(palette(tmp_path / 'border.png', voc, *colours), ignore_value=255)
    assert (label[0] == IGNORE_INDEX).all() and (label[1:] == TRUTH[1:]).all()
    for name, colours in (('red.png', [(200, 0, 0), black]), ('same.png', [black, black])):
        with pytest.raises(ValueError, match=rf'{name}: a palette label .* \(0 is \(.*expected black for unchanged'):
            read_label(palette(tmp_path / name, TRUTH, *colours))


@pytest.mark.filterwarnings('ignore:Dataset has no geotransform')
def test_rasters_by_what_they_show(tmp_path):
    colours = {0: (255, 255, 255, 255), 1: (0, 0, 0, 255)}
    assert (read_label(raster(tmp_path / 'palette.tif', 1 - TRUTH, colours)) == TRUTH).all()
    assert (read_label(raster(tmp_path / 'negative.tif', 255 - WHITE, photometric='MINISWHITE')) == TRUTH).all()
    assert (read_label(raster(tmp_path / 'bits.tif', 1 - TRUTH, photometric='MINISWHITE', nbits=1)) == TRUTH).all()
    assert (read_label(raster(tmp_path / 'bits_black.tif', TRUTH, nbits=1)) == TRUTH).all()


@pytest.mark.filterwarnings('ignore:Dataset has no geotransform')
def test_nodata_is_ignored_beside_0_and_1_only(tmp_path):
    label = TRUTH.astype(np.int16)
    assert (read_label(raster(tmp_path / 'zero.tif', label, nodata=0)) == TRUTH).all()  # gdal_rasterize's background
    assert (read_label(raster(tmp_path / 'white.tif', WHITE, nodata=255)) == TRUTH).all()
    label[0] = -9999
    read = read_label(raster(tmp_path / 'border.tif', label, nodata=-9999))
    assert (read[0] == IGNORE_INDEX).all() and (read[1:] == TRUTH[1:]).all()
    with pytest.raises(ValueError, match=r'untagged\.tif: label values -9999, 0, 1 of type int16; expected only'):
        read_label(raster(tmp_path / 'untagged.tif', label))


@pytest.mark.filterwarnings('ignore:Dataset has no geotransform')
@pytest.mark.parametrize('name, array, message', [
    ('two.tif', np.dstack([TRUTH, TRUTH]), 'a label of 2 bands; expected one channel .*gdal_translate -b 1'),
    ('share.tif', TRUTH * np.float32(0.5), 'label values 0, 0.5 of type float32; expected only 0 and 1'),
    ('nan.tif', np.where(TRUTH == 1, 1., np.nan), 'label values 1, nan of type float64'),
    ('red.png', np.dstack([WHITE, 0 * WHITE, 0 * WHITE]), r'a label of 3 channels which differ, such as \(255, 0, 0\)'),
    ('photo.jpg', np.kron(WHITE, np.ones((5, 5), np.uint8)), 'label values .*stored as JPEG.*magick .*-threshold 50%'),
])
def test_refusals(tmp_path, name, array, message):
    path = raster(tmp_path / name, array) if name.endswith('.tif') else save(tmp_path / name, array)
    with pytest.raises(ValueError, match=rf'{name}: {message}'):
        read_label(path)


@pytest.mark.parametrize('value', [np.inf, -np.inf, np.nan])
def test_values_that_are_no_numbers_are_refused(tmp_path, value):
    label = np.zeros((4, 4), np.float32)
    label[1, 2] = value
    Image.fromarray(label).save(tmp_path / 'x.tif')
    with pytest.raises(ValueError, match=r'x.tif: label values .*(inf|nan)'):
        read_label(str(tmp_path / 'x.tif'))


def test_a_small_file_that_says_it_is_huge_is_refused_before_it_takes_memory(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    path = tmp_path / 'x.tif'
    with rasterio.open(path, 'w', driver='GTiff', width=40_000, height=40_000, count=1, dtype='uint8', tiled=True,
                       SPARSE_OK=True):
        pass
    assert path.stat().st_size < 1 << 20
    for read in (read_label, read_rgb):
        with pytest.raises(ValueError, match=r'x.tif: is too large .*40000 x 40000 pixels, 1,600,000,000 bytes'):
            read(str(path))
