import numpy as np
import pytest
import torch
from PIL import Image

from mamba_cd_plugin.inference.pairs import ReadOptions, find_pairs, open_pair
from mamba_cd_plugin.inference.windows import Span, Window


def whole(source):
    return source.read(Window(Span(0, source.height), Span(0, source.width)))


def save(path, array):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def test_arrays(town):
    a, b = town(40, 60)
    source = open_pair(a, b)
    assert (source.height, source.width, source.crs, source.is_raster) == (40, 60, None, False)
    tile = source.read(Window(Span(10, 40), Span(5, 60)))
    assert (tile.pair == np.concatenate([a, b], axis=2)[10:, 5:]).all()
    assert tile.valid.all()
    assert source.thumbnail(7).pair.shape == (6, 9, 6)


def test_grey_arrays_and_bands():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (whole(open_pair(grey, grey)).pair == grey[..., None]).all()
    many = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    read = whole(open_pair(many, many, ReadOptions(bands=[5, 1, 2], bands_b=[3])))
    assert read.pair[0, 0].tolist() == [4, 0, 1, 2, 2, 2]


def test_16_bit_arrays_are_stretched_by_their_own_percentiles():
    values = np.linspace(1000, 3000, 101).astype(np.uint16)  # the 2nd percentile is 1040, the 98th 2960
    a = np.tile(values[:, None, None], (1, 3, 3))
    source = open_pair(a, a // 2)
    tile = whole(source)
    assert tile.pair[[0, 2, 50, 98, 100], 0, 0].tolist() == [0, 0, 128, 255, 255]
    np.testing.assert_allclose(tile.pair[..., :3].astype(int), tile.pair[..., 3:], atol=1)
    assert source.notes[0] == 'A: uint16 values are stretched to 8 bits: 1040..2960, 1040..2960, 1040..2960'


def test_value_range_is_for_both_and_for_8_bits_too():
    a = np.array([[0, 50, 100, 200]], np.uint8)
    assert whole(open_pair(a, a * 0, ReadOptions(value_range=(50, 100)))).pair[0, :, 0].tolist() == [0, 0, 255, 255]
    with pytest.raises(ValueError, match=r'value_range: .* got \(100, 50\)'):
        open_pair(a, a, ReadOptions(value_range=(100, 50)))


def test_nan_pixels_are_no_data_and_do_not_enter_the_percentiles():
    a = np.full((10, 10), 5., np.float32)
    a[0] = np.nan
    a[1] = 7
    tile = whole(open_pair(a, np.ones_like(a)))
    assert tile.valid.sum() == 90
    assert not tile.valid[0].any()
    assert tile.pair[1, 0, 0] == 255
    assert tile.pair[2, 0, 0] == 0


@pytest.mark.parametrize('a, b, message', [
    (np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4, 3), np.uint8), r'A: expected an image .* uint8 \(0, 4, 3\)'),
    (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), 'A is 4 x 4 pixels, but B is 5 x 4'),
    (np.zeros(4), np.zeros(4), 'A: expected an image'),
    (np.zeros((4, 4), complex), np.zeros((4, 4), complex), 'of real numbers'),
    (np.zeros((4, 4), np.uint8), 'b.png', 'expected two files or two arrays, got ndarray and str'),
])
def test_arrays_that_are_no_pair(a, b, message):
    with pytest.raises(ValueError, match=message):
        open_pair(a, b)


def test_bands_that_are_not_there():
    grey = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match=r'A has 1 bands; .* got \[4, 3, 2\]'):
        open_pair(grey, grey, ReadOptions(bands=[4, 3, 2]))


def test_pictures(tmp_path, town):
    a, b = town(30, 20)
    source = open_pair(save(tmp_path / 'straße 1.png', a), save(tmp_path / 'b.png', b))
    assert source.name == 'straße 1'
    assert (whole(source).pair[..., 3:] == b).all()


def save_16_bits(path, array):
    import cv2
    cv2.imwrite(str(path), array if array.ndim == 2 else array[..., [2, 1, 0, 3][:array.shape[2]]])
    return path


def test_band_numbers_of_pictures_are_refused(tmp_path, town):
    """A PNG says which of its bands is red; numbers for it were left aside without a word."""
    from PIL import Image
    images = [Image.fromarray(image) for image in town(40, 60)]
    for name, image in zip('ab', images):
        image.save(tmp_path / f'{name}.png')
    for pair in ((tmp_path / 'a.png', tmp_path / 'b.png'), images):
        with pytest.raises(ValueError, match='(a.png|A): is a picture.* --bands 3 2 1 is for rasters and arrays'):
            open_pair(*pair, ReadOptions(bands=[3, 2, 1]))


@pytest.mark.parametrize('bands', [None, 3, 4])
def test_16_bit_pictures_keep_their_bits(tmp_path, bands):
    # Of 1000..1099, eight bits would leave the same value everywhere.
    deep = (1000 + np.arange(100, dtype=np.uint16)).reshape(10, 10)
    if bands is not None:
        deep = np.dstack([deep, deep[::-1], deep.T, np.full_like(deep, 65535)][:bands])
    path, same = (save_16_bits(tmp_path / name, deep) for name in ('deep ü.png', 'same.png'))
    source = open_pair(path, same, ReadOptions(value_range=(1000, 1255)))
    expected = np.arange(100).reshape(10, 10)
    tile = whole(source)
    assert (tile.pair[..., 0] == expected).all()
    assert (tile.pair[..., 5] == (expected if bands is None else expected.T)).all()
    assert tile.valid.all()
    assert open_pair(path, same).notes[1].startswith('A: uint16 values are stretched to 8 bits: 1001.98..1097.02')


@pytest.mark.parametrize('mode', ['RGBA', 'LA', '16 bits', 'palette'])
def test_transparent_pixels_of_a_picture_have_no_data(tmp_path, mode):
    image = np.full((8, 8, 4), 200, np.uint8)
    image[:3, :, 3] = 0
    path = tmp_path / 'b.png'
    if mode == '16 bits':
        save_16_bits(path, image.astype(np.uint16) * 100)
    elif mode == 'palette':
        Image.fromarray(np.where(image[..., 3] > 0, 1, 0).astype(np.uint8), 'P').save(path, transparency=0)
    else:
        Image.fromarray(image).convert(mode).save(path)
    plain = save(tmp_path / 'a.png', image[..., :3])
    for pair in ((path, plain), (plain, path)):
        valid = whole(open_pair(*pair)).valid
        assert not valid[:3].any()
        assert valid[3:].all()


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
@pytest.mark.parametrize('damage', [lambda content: b'', lambda content: b'hello', lambda content: content[:-200]])
def test_damaged_pictures(tmp_path, town, suffix, damage):
    good = save(tmp_path / f'a.{suffix}', town(64, 64)[0])
    bad = tmp_path / f'b.{suffix}'
    bad.write_bytes(damage(good.read_bytes()))
    with pytest.raises(OSError, match=rf'b.{suffix}: cannot be read as an image \(\d+ bytes\).*replace or convert'):
        open_pair(good, bad)


def test_two_folders(tmp_path, town):
    for name in ('x 1', 'ü'):
        for folder, image in zip('AB', town(8, 8)):
            save(tmp_path / folder / f'{name}.png', image)
    (tmp_path / 'A' / 'notes.txt').write_text('no image')
    found = find_pairs(tmp_path / 'A', str(tmp_path / 'B'))
    assert [(a.parent.name, a.stem, b.parent.name, b.stem) for a, b in found] == [
        ('A', 'x 1', 'B', 'x 1'), ('A', 'ü', 'B', 'ü')]
    (tmp_path / 'B/ü.png').rename(tmp_path / 'B/u\u0308.png')  # as macOS packs it: the letter, and its dots
    assert [a.stem for a, _ in find_pairs(tmp_path / 'A', tmp_path / 'B')] == ['x 1', 'ü']


def test_folders_that_are_no_pairs(tmp_path):
    image = np.zeros((4, 4), np.uint8)
    only = save(tmp_path / 'A' / '1.png', image)
    with pytest.raises(FileNotFoundError, match='B does not exist'):
        find_pairs(tmp_path / 'A', tmp_path / 'B')
    (tmp_path / 'B').mkdir()
    with pytest.raises(FileNotFoundError, match='B holds no image'):
        find_pairs(tmp_path / 'A', tmp_path / 'B')
    with pytest.raises(ValueError, match='two files or two folders'):
        find_pairs(only, tmp_path / 'B')
    save(tmp_path / 'B' / '2.png', image)
    with pytest.raises(FileNotFoundError, match=r'2 images have no counterpart .*A.1\.png, .*B.2\.png'):
        find_pairs(tmp_path / 'A', tmp_path / 'B')
    save(tmp_path / 'B' / '1.png', image)
    save(tmp_path / 'B' / '1.jpg', image)
    with pytest.raises(ValueError, match=r'1\.jpg and .*1\.png have the same name'):
        find_pairs(tmp_path / 'A', tmp_path / 'B')


def bands_first(image):
    return image.transpose(2, 0, 1)


def masked(image):
    return np.ma.array(image, mask=np.arange(len(image))[:, None, None] < 5 + np.zeros(image.shape))


def tensor(image):
    return torch.from_numpy(bands_first(image).copy())


# How other libraries hand over an image; each becomes the same pixels.
HANDED = {
    'rasterio': bands_first,
    'a batch of one': lambda image: bands_first(image)[None],
    'torch': tensor,
    'torch on its way through a model': lambda image: tensor(image).float().requires_grad_(),
    'ToTensor': lambda image: tensor(image).float() / 255,
    'half precision': lambda image: (tensor(image).float() / 255).half(),
    'scikit-image': lambda image: image / 255,
    'whole floats': lambda image: image.astype(np.float32),
    'Pillow': Image.fromarray,
    'alpha': lambda image: np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]),
}


@pytest.mark.parametrize('way', HANDED)
def test_what_other_libraries_hand_over_is_the_same_image(town, way):
    a, b = town(40, 60)
    read = whole(open_pair(HANDED[way](a), HANDED[way](b)))
    assert (read.pair == np.concatenate([a, b], axis=2)).all()
    assert read.valid.all()
    mixed = whole(open_pair(a, HANDED[way](b)))
    assert (mixed.pair == read.pair).all()


def test_masked_pixels_have_no_data(town):
    a, b = town(40, 60)
    source = open_pair(masked(a), b)
    assert not whole(source).valid[:5].any()
    assert whole(source).valid[5:].all()
    assert source.notes == ['A: 12.5 % of its pixels have no data (transparent, masked, NaN or --nodata)']


def test_what_was_decided_about_an_array_is_said(town):
    a, b = town(40, 60)
    assert open_pair(bands_first(a), b).notes == ['A: an array of (3, 40, 60) is taken as (bands, H, W)']
    assert open_pair(a, b / 255).notes == ['B: float64 values of 0..1 are taken as those of an 8-bit image '
                                           '(value_range stretches them)']
    reflectance = b.astype(np.float32) / 1000  # 0.001 is no step of 8 bits
    assert 'B: float32 values are stretched to 8 bits' in open_pair(a, reflectance).notes[0]
    assert 'A and B hold the same values' in open_pair(a, a).notes[0]


def test_nodata_of_arrays(town):
    a, b = town(40, 60)
    b[:10] = 0
    source = open_pair(a, b)
    assert '25.0 % of its pixels are 0 in all bands and reach the border' in source.notes[0]
    assert whole(open_pair(a, b, ReadOptions(nodata=0))).valid.sum() == 30 * 60


@pytest.mark.parametrize('image, message', [
    (np.zeros((2, 3, 8, 9), np.uint8), r'A: got a batch of 2 images, uint8 \(2, 3, 8, 9\).*list of pairs'),
    (np.zeros((8, 9, 3), bool), r'A: expected an image .*got bool'),
    (np.full((8, 9, 3), None), r'A: expected an image .*got object'),
    (np.zeros((50, 60, 70), np.uint8), r'A: expected .* got uint8 \(50, 60, 70\), of which no axis can be the bands'),
    ([[1, 2], [3, 4]], 'A: expected a file, an array, a tensor or an image, got list'),
])
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        open_pair(image, np.zeros((8, 9, 3), np.uint8))


def test_a_stack_of_many_bands_needs_their_numbers_only_if_it_is_ambiguous():
    many = np.arange(224, dtype=np.uint8) * np.ones((300, 400, 1), np.uint8)
    read = whole(open_pair(many, many, ReadOptions(bands=[50, 30, 10])))
    assert read.pair[0, 0].tolist() == [49, 29, 9] * 2


def test_the_inferencer_takes_pairs_of_any_of_them(inferencer, town):
    a, b = town(40, 60)
    expected = inferencer((a, b))['predictions'][0]['mask']
    assert expected.shape == (40, 60) and 0 < expected.mean() < 1
    stacked = torch.stack([tensor(a), tensor(b)])
    for inputs in ((tensor(a), tensor(b)), (Image.fromarray(a), tensor(b)), stacked, [(a, b)], stacked[None]):
        assert (inferencer(inputs)['predictions'][0]['mask'] == expected).all()


@pytest.mark.parametrize('inputs, message', [
    ('a.tif', r'expected a pair \(A, B\) of files, folders or arrays, or a list of pairs, got str'),
    (['a.tif', 'b.tif', 'c.tif'], r'item 1 of 3: expected a pair \(A, B\), got a.tif'),
    ([(np.zeros((4, 4)), ) * 3], r'item 1 of 1: expected a pair \(A, B\), got 3 items'),
    (None, 'expected a pair .* got NoneType'),
])
def test_what_is_no_pair_is_said(inferencer, inputs, message):
    with pytest.raises(ValueError, match=message):
        inferencer(inputs)


def test_data_samples_are_not_written_to_files(inferencer, town, tmp_path):
    with pytest.raises(ValueError, match='return_datasamples: expected False where out_dir is given'):
        inferencer(town(40, 60), out_dir=str(tmp_path), return_datasamples=True)
