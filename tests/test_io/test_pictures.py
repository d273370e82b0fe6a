import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from mamba_cd_plugin.io import formats
from mamba_cd_plugin.io.labels import binarize_label, read_label
from mamba_cd_plugin.io.pictures import IGNORE_INDEX, read_picture, read_rgb


def write(path, array, mode=None):
    Image.fromarray(array, mode).save(path) if mode else Image.fromarray(array).save(path)
    return str(path)


@pytest.mark.parametrize('raw, expected', [
    ([0, 1, 1], [0, 1, 1]),
    ([0, 255, 255], [0, 1, 1]),
    ([0, 0, 0], [0, 0, 0]),
    ([255, 255, 255], [1, 1, 1]),
    ([1, 1, 1], [1, 1, 1]),
])
def test_both_label_codes_become_zero_and_one(tmp_path, raw, expected):
    label = read_label(write(tmp_path / 'x.png', np.array([raw], np.uint8)))
    assert label.dtype == np.uint8
    assert label.tolist() == [expected]


@pytest.mark.parametrize('raw, ignore_value, expected', [
    ([0, 1, 255], 255, [0, 1, IGNORE_INDEX]),
    ([0, 128, 255], 128, [0, IGNORE_INDEX, 1]),
    ([0, 0, 255], 255, [0, 0, IGNORE_INDEX]),
])
def test_ignore_value(raw, ignore_value, expected):
    assert binarize_label(np.array([raw], np.uint8), 'x', ignore_value).tolist() == [expected]


@pytest.mark.parametrize('raw, found, remedy', [
    ([0, 1, 255], 'label values 0, 1, 255; expected', 'ignore_value=255'),
    ([0, 2, 2], 'label values 0, 2; expected', 'Recode'),
    ([0, 3, 7, 9, 250, 251, 255], 'label values 0, 3, 7, 9, 250 and 2 more; expected', 'JPEG'),
])
def test_other_label_values_are_named(tmp_path, raw, found, remedy):
    path = write(tmp_path / 'bad.png', np.array([raw], np.uint8))
    with pytest.raises(ValueError, match=f'bad.png: {found}.*{remedy}'):
        read_label(path)


def test_label_of_16_bits_is_judged_by_its_values(tmp_path):
    assert read_label(write(tmp_path / 'x.png', np.array([[0, 255]], np.uint16))).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match='label values 0, 65535'):
        read_label(write(tmp_path / 'y.png', np.array([[0, 65535]], np.uint16)))


def test_one_bit_and_palette_labels(tmp_path):
    bits = write(tmp_path / 'bits.png', np.array([[False, True]]))
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), 'P')
    palette.putpalette([0, 0, 0, 200, 30, 30])
    palette.save(tmp_path / 'palette.png')
    assert read_label(bits).tolist() == [[0, 1]]
    assert read_label(str(tmp_path / 'palette.png')).tolist() == [[0, 1]]


def test_multi_channel_label_needs_equal_channels(tmp_path):
    label = np.array([[0, 255]], np.uint8)
    equal = np.stack([label] * 3, axis=2)
    assert read_label(write(tmp_path / 'rgb.png', equal)).tolist() == [[0, 1]]
    with_alpha = np.dstack([equal, np.array([[7, 9]], np.uint8)])
    assert read_label(write(tmp_path / 'rgba.png', with_alpha)).tolist() == [[0, 1]]
    red = np.stack([label, 0 * label, 0 * label], axis=2)
    with pytest.raises(ValueError, match=r'red.png: a label of 3 channels which differ, such as .255, 0, 0.'):
        read_label(write(tmp_path / 'red.png', red))


def test_rgb_order_and_expansion(tmp_path):
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 200
    assert (read_rgb(write(tmp_path / 'red.png', red)) == red).all()
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (read_rgb(write(tmp_path / 'grey.tif', grey)) == grey[..., None]).all()
    rgba = np.dstack([red, np.zeros((2, 3), np.uint8)])
    assert (read_rgb(write(tmp_path / 'rgba.png', rgba)) == red).all()


def test_image_of_16_bits_is_refused(tmp_path):
    path = write(tmp_path / 'deep.tif', np.full((4, 4), 3000, np.uint16))
    with pytest.raises(ValueError, match='deep.tif: uint16 pixels with values from 3000 to 3000, expected 8 bits'):
        read_rgb(path)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.jpeg', '.tif', '.tiff'])
@pytest.mark.parametrize('keep', [0., 0.5, 0.9])
@pytest.mark.parametrize('read', [read_rgb, read_label])
def test_truncated_file(tmp_path, suffix, keep, read):
    path = tmp_path / f'cut{suffix}'
    write(path, np.random.RandomState(0).randint(0, 2, (64, 64, 3), np.uint8) * 255)
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * keep)])
    said = '(cannot be read as an image.*replace or convert|is truncated.*download it again)'
    with pytest.raises(OSError, match=f'cut{suffix}: {said}'):
        read(str(path))


def test_file_that_is_no_image(tmp_path):
    path = tmp_path / 'page.png'
    path.write_text('<html>404</html>')
    with pytest.raises(OSError, match='page.png: cannot be read as an image .16 bytes.'):
        read_rgb(str(path))


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_exif_orientation(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.arange(8 * 16 * 3, dtype=np.uint8).reshape(8, 16, 3)).save(tmp_path / 'x', kind, exif=exif)
    with Image.open(tmp_path / 'x') as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert (read_rgb(str(tmp_path / 'x')) == upright).all()
    assert ('orientation' in read_picture(str(tmp_path / 'x')).note) == (orientation > 1)


def test_value_range(tmp_path):
    """11 bits: 0..2040 become 0..255, and what lies above is white."""
    deep = np.array([[0, 800, 1600, 2040, 2047]], np.uint16)
    path = write(tmp_path / 'deep.png', deep)
    assert read_rgb(path, value_range=(0, 2040))[..., 0].tolist() == [[0, 100, 200, 255, 255]]
    with pytest.raises(ValueError, match=r'uint16 pixels with values from 0 to 2047, .*value_range.*prepare folder'):
        read_rgb(path)


def test_picture_beyond_pillows_limit(tmp_path, monkeypatch, recwarn):
    path = write(tmp_path / 'big.png', np.zeros((20, 30), np.uint8))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 400)  # Pillow warns from here on, and refuses twice that
    assert read_rgb(path).shape == (20, 30, 3) and not recwarn.list
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(ValueError, match=r'big\.png: is too large .*600 pixels.*gdal_translate .*big\.png big\.tif'):
        read_rgb(path)


def test_any_changed_bit_of_a_png_is_noticed_or_harmless(tmp_path):
    """Pillow alone gives another picture for some of them, without a word."""
    pixels = np.random.default_rng(0).integers(0, 2, (16, 16, 3), np.uint8) * 255
    content = Path(write(tmp_path / 'whole.png', pixels)).read_bytes()
    for place in range(8, len(content)):
        (tmp_path / 'bad.png').write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1:])
        with suppress(OSError):
            assert (read_rgb(str(tmp_path / 'bad.png')) == pixels).all(), place


def promising(path: Path, width: int, height: int, suffix: str, **options) -> str:
    """A small picture whose header, with a right checksum, promises another size."""
    file = io.BytesIO()
    Image.new('RGB', (64, 64)).save(file, {'.png': 'PNG', '.jpg': 'JPEG'}[suffix], **options)
    content = bytearray(file.getvalue())
    if suffix == '.png':
        content[16:24] = struct.pack('>II', width, height)
        content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    else:
        frame = next(place for place in range(len(content)) if content[place:place + 2] in (b'\xff\xc0', b'\xff\xc2'))
        content[frame + 5:frame + 9] = struct.pack('>HH', height, width)
    path = path.with_suffix(suffix)
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(('suffix', 'needed', 'options'), [
    # 13,000 rows of 39,000 bytes, of which deflate puts 1,032 into one.
    ('.png', '491,279', {}),
    # 1,625 x 1,625 blocks of each of three colours, and a bit for each.
    ('.jpg', '990,234', dict(subsampling=0)),
    # Two of them at half the resolution: 813 x 813 blocks each.
    ('.jpg', '495,320', dict(subsampling=2, progressive=True)),
])
def test_pixels_that_a_file_cannot_hold_take_no_memory(tmp_path, monkeypatch, suffix, needed, options):
    path = promising(tmp_path / 'bomb', 13_000, 13_000, suffix, **options)
    monkeypatch.setattr(ImageFile.ImageFile, 'load', lambda image: pytest.fail('memory was taken'))
    said = rf'^{path}: cannot be read .*promises 13,000 x 13,000 pixels, which take {needed} bytes at least'
    for read in (read_rgb, read_label):
        with pytest.raises(OSError, match=said):
            read(path)


@pytest.mark.filterwarnings('ignore:Dataset has no geotransform')
def test_rasters_that_a_file_cannot_hold_take_no_memory(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    path = str(tmp_path / 'bomb.tif')
    with rasterio.open(path, 'w', driver='GTiff', width=13_000, height=13_000, count=1, dtype='uint8', compress='lzw',
                       tiled=True, blockxsize=2048, blockysize=2048, sparse_ok=True):
        pass
    for read in (read_rgb, read_label):  # 169,000,000 bytes, of which LZW puts 2,558 into one
        with pytest.raises(OSError, match=rf'^{path}: .*promises 13,000 x 13,000 pixels, which take 66,067 bytes at l'):
            read(path)


@pytest.mark.parametrize(('suffix', 'options'), [
    ('.png', dict(compress_level=9)), ('.jpg', dict(quality=1, optimize=True)),
    ('.jpg', dict(quality=1, progressive=True)), ('.tif', dict(compression='tiff_lzw')),
    ('.tif', dict(compression='tiff_adobe_deflate')), ('.tif', dict(compression='packbits')),
    ('.tif', dict(compression='jpeg'))])
@pytest.mark.parametrize('mode', ['1', 'L', 'RGB'])
def test_the_smallest_files_of_their_size_are_read(tmp_path, monkeypatch, suffix, options, mode):
    if mode == '1' and options.get('compression') == 'jpeg':
        pytest.skip('has 8 bits')
    monkeypatch.setattr(formats, 'HARMLESS_BYTES', 0)
    path = tmp_path / f'black{suffix}'
    Image.new('L' if mode == '1' and suffix == '.jpg' else mode, (1500, 1500)).save(path, **options)
    assert read_rgb(str(path)).shape == (1500, 1500, 3)
