"""Files as people reported them to other projects; the thread stands beside each."""
import os
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mamba_cd_plugin.datasets import LoadChangeLabel, PairCDDataset
from mamba_cd_plugin.inference.pairs import open_pair
from mamba_cd_plugin.io.files import OutputFolder
from mamba_cd_plugin.io.labels import read_label
from mamba_cd_plugin.io.pictures import read_rgb
from mamba_cd_plugin.preparation.check import check_dataset

rasterio = pytest.importorskip('rasterio')
pytestmark = pytest.mark.filterwarnings('ignore:Dataset has no geotransform')

RGB = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
TRUTH = np.zeros((16, 24), np.uint8)
TRUTH[3:9, 5:15] = 1


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def tiff(path, bands, **profile):
    bands = bands[None] if bands.ndim == 2 else bands.transpose(2, 0, 1)
    with rasterio.open(path, 'w', driver='GTiff', count=len(bands), height=16, width=24, dtype=bands.dtype,
                       **profile) as file:
        file.write(bands)
    return path


def test_png_with_a_long_text():
    """python-pillow/Pillow#8363, #2445, hiyouga/LlamaFactory#6300: 'Decompressed data too large'."""
    info = PngImagePlugin.PngInfo()
    info.add_text('prompt', 'x' * (2 << 20), zip=True)
    Image.fromarray(RGB).save('x.png', pnginfo=info)
    assert (read_rgb('x.png') == RGB).all()


@pytest.mark.parametrize('kind', ['WEBP', 'BMP'])
def test_another_kind_under_the_name_of_a_jpeg(kind):
    """CertifaiAI/classifai#394, alexwlchan/dominant_colours#57."""
    Image.fromarray(RGB).save('x.jpg', kind, **({'lossless': True} if kind == 'WEBP' else {}))
    assert (read_rgb('x.jpg') == RGB).all()


@pytest.mark.parametrize('orientation', range(2, 9))
@pytest.mark.parametrize('read', [read_rgb, read_label])
def test_tiff_stored_turned(orientation, read):
    """xarray-contrib/xarray-spatial#1503, ruven/iipsrv#147: GDAL gives the pixels as they are stored."""
    Image.fromarray(TRUTH * 255).save('x.tif', tiffinfo={0x0112: orientation})
    with pytest.raises(ValueError, match=rf'x\.tif: is stored turned \(TIFF orientation {orientation}\).*-auto-orient'):
        read('x.tif')


@pytest.mark.parametrize('mode, colours', [('LAB', r'CIE L\*a\*b\*'), ('CMYK', 'CMYK')])
def test_tiff_of_other_colours(mode, colours):
    """python-pillow/Pillow#1270: a TIFF whose pixels are read as RGB and shown in green and pink."""
    Image.fromarray(RGB).convert(mode).save('x.tif')
    with pytest.raises(ValueError, match=rf'x\.tif: TIFF with pixels of {colours}, expected grey.*-colorspace sRGB'):
        read_rgb('x.tif')


def test_palette_of_8_bits_in_a_tiff():
    """python-pillow/Pillow#2157: old writers keep 0..255 where 0..65535 belongs, and the picture comes out black."""
    indices, colours = TRUTH, [250, 250, 250, 20, 90, 30]
    image = Image.fromarray(indices, 'P')
    image.putpalette(colours)
    image.save('x.tif')
    with Image.open('x.tif') as image:
        palette = image.tag_v2[320]
    with open('x.tif', 'rb') as file:
        content = file.read()
    old, new = (struct.pack('<768H', *values) for values in (palette, [value // 256 for value in palette]))
    with open('old.tif', 'wb') as file:
        file.write(content.replace(old, new))
    for name in ('x.tif', 'old.tif'):
        expected = np.array(colours).reshape(2, 3)[indices]
        assert np.abs(read_rgb(name) - expected).max() <= 1  # Pillow before 13 rounds a palette's colours down


def test_big_endian_16_bits():
    """zimeon/iiif#23, python-pillow/Pillow#5991: only the blackest pixels came through."""
    tiff('x.tif', RGB[..., 0].astype(np.uint16) * 257, ENDIANNESS='BIG')
    assert (read_rgb('x.tif', value_range=(0, 65535)) == RGB[..., :1]).all()


def test_labels_stored_as_jpeg():
    """wenhwu/awesome-remote-sensing-change-detection#5 (CDD), mantasu/glasses-detector#23."""
    Image.fromarray(TRUTH * 255).save('x.jpg', quality=60)
    with pytest.raises(ValueError, match=r'x\.jpg: label values 0, 1, .*stored as JPEG: threshold it'):
        read_label('x.jpg')


def test_ignored_pixels_of_minus_one():
    """Depanshu-Sani/SICKLE#6."""
    label = TRUTH.astype(np.int16)
    label[0] = -1
    read = read_label(tiff('x.tif', label), ignore_value=-1)
    assert (read[0] == 255).all() and (read[1:] == TRUTH[1:]).all()


@pytest.mark.parametrize('value', [20, 127])
def test_another_value_for_changed(value):
    """PaddlePaddle/PaddleSeg#3145, open-mmlab/mmsegmentation#1335: a mean IoU that is wrong without a word."""
    Image.fromarray(TRUTH * value).save('x.png')
    with pytest.raises(ValueError, match=rf'x\.png: label values 0, {value}; expected only 0 and 1, or only 0 and 255'):
        read_label('x.png')


def test_complex_label():
    """A raster of an interferogram in the place of a label."""
    with pytest.raises(ValueError, match=r'x\.tif: a label of complex values \(complex64\)'):
        read_label(tiff('x.tif', TRUTH.astype(np.complex64)))


def test_pointers_of_git_lfs():
    """A repository cloned without git-lfs: each image is a text of three lines."""
    with open('x.png', 'w') as file:
        file.write('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n')
    with pytest.raises(OSError, match=r'x\.png: cannot be read as an image .*it is the pointer.*git lfs pull'):
        read_rgb('x.png')


def dataset(folders, label_size=16):
    for folder, name in folders.items():
        os.makedirs(f'data/train/{folder}', exist_ok=True)
        array = np.eye(label_size, dtype=np.uint8) * 255 if folder == 'label' else np.eye(16, dtype=np.uint8)
        Image.fromarray(array).save(f'data/train/{folder}/{name}', 'PNG' if name.lower().endswith('png') else 'TIFF')


def test_suffixes_in_capital_letters():
    """pytorch/vision#446, huggingface/datasets#4514, PeterL1n/BackgroundMattingV2#51."""
    dataset({'A': 'x.PNG', 'B': 'x.TIF', 'label': 'x.Png'})
    assert len(PairCDDataset(split='train', data_root='data', pipeline=[])) == 1
    assert check_dataset('data').count('error') == 0


def test_labels_of_another_size():
    """justchenhao/BIT_CD#4: in DSIFN's release labels and images differ in size."""
    dataset({'A': 'x.png', 'B': 'x.png', 'label': 'x.png'}, label_size=32)
    assert {finding.check for finding in check_dataset('data').findings} >= {'unequal_size'}
    results = dict(
        seg_map_path='data/train/label/x.png', img_path='data/train/A/x.png', ori_shape=(16, 16), seg_fields=[])
    with pytest.raises(ValueError, match=r'label/x\.png is 32 x 32 pixels, but its image .*A/x\.png is 16 x 16'):
        LoadChangeLabel().transform(results)


def test_a_list_that_is_not_there():
    """justchenhao/BIT_CD#4: 'LEVIR_CD dataset/list/trainval.txt not found'."""
    dataset({'A': 'x.png', 'B': 'x.png', 'label': 'x.png'})
    with pytest.raises(FileNotFoundError, match=r'ann_file data/list/trainval\.txt is not a file; expected a list'):
        PairCDDataset(split='train', data_root='data', ann_file='list/trainval.txt', pipeline=[])


def test_results_of_a_prediction_among_the_images():
    """mamba-cd predict A B --out A, and then a training: the masks are no images without a label."""
    dataset({'A': 'x.png', 'B': 'x.png', 'label': 'x.png'})
    with OutputFolder('data/train/A').write('x_mask.png') as part:
        Image.fromarray(TRUTH).save(part)
    with pytest.raises(ValueError, match=r'lacks x_mask; .*A/x_mask\.png were written there as results: move them'):
        PairCDDataset(split='train', data_root='data', pipeline=[])


def test_a_turned_jpeg_beside_a_raster():
    """wkentaro/labelme#1529: what GDAL gives of a JPEG is turned otherwise than what a viewer shows."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save('a.jpg', exif=exif)
    tiff('b.tif', RGB.swapaxes(0, 1)[:16, :16].repeat(2, 1)[:, :24])
    with pytest.raises(ValueError, match=r'a\.jpg: its EXIF orientation \(6\) says .*-auto-orient a_upright\.jpg'):
        open_pair('a.jpg', 'b.tif')
