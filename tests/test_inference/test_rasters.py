"""Every bad raster gives an error that says what to do, or the right result."""
import numpy as np
import pytest

pytest.importorskip('rasterio')

from mamba_cd_plugin.inference.pairs import (
    ReadOptions,  # noqa: E402
    open_pair,  # noqa: E402  after the skip
)


def test_same_grid_is_read_as_it_is(tmp_path, a, images, write_raster, read):
    pair, valid, source = read(a, write_raster(tmp_path / 'b.tif', images[1]))
    assert (pair == np.concatenate(images, axis=2)).all()
    assert valid.all()
    assert source.notes == []
    assert str(source.crs) == 'EPSG:32632'


def test_b_on_a_shifted_grid_is_moved_by_whole_pixels(tmp_path, a, images, write_raster, read):
    # B begins 4 px to the right and 6 px below A.
    pair, valid, source = read(a, write_raster(tmp_path / 'b.tif', images[1], origin=(500002, 5299997)))
    assert (pair[6:, 4:, 3:] == images[1][:-6, :-4]).all()
    assert valid[6:, 4:].all()
    assert valid.sum() == 54 * 76
    assert 'B is warped onto the grid of A' in source.notes[0]
    assert 'B covers 85.5 % of A' in source.notes[0]


def test_b_in_another_crs_lies_where_it_belongs(tmp_path, write_raster, read):
    from rasterio.warp import transform
    # One bright square of 10 m in A; in B, in degrees and finer pixels, a square at the same place on the ground.
    a = np.full((200, 200, 3), 50, np.uint8)
    a[90:110, 120:140] = 250
    lon, lat = (value[0] for value in transform('EPSG:32632', 'EPSG:4326', [500060], [5299955]))
    degrees_per_metre = 1 / 111_200  # of latitude; in longitude the square is stretched accordingly
    b = np.full((500, 500, 3), 50, np.uint8)
    west, north = transform('EPSG:32632', 'EPSG:4326', [499990], [5300010])
    size = 0.4 * degrees_per_metre
    row, column = round((north[0] - lat) / size), round((lon - west[0]) / size)
    corner = transform('EPSG:32632', 'EPSG:4326', [500070], [5299945])
    row2, column2 = round((north[0] - corner[1][0]) / size), round((corner[0][0] - west[0]) / size)
    b[row:row2, column:column2] = 250
    pair, valid, source = read(
        write_raster(tmp_path / 'a.tif', a),
        write_raster(tmp_path / 'b.tif', b, crs='EPSG:4326', origin=(west[0], north[0]), size=size))
    wrong = (pair[..., 0] > 150) != (pair[..., 3] > 150)
    assert valid[60:140, 60:160].all()
    assert wrong.sum() <= 40  # the pixels along the border of the square, of which half may round the other way
    assert (pair[92:108, 122:138, 3] > 240).all()
    assert 'from EPSG:4326' in source.notes[0]


def test_a_coarser_b_is_said(tmp_path, a, images, write_raster, read):
    notes = read(a, write_raster(tmp_path / 'b.tif', images[1], size=1.))[2].notes
    assert 'B is 2.0 times coarser' in notes[0]


@pytest.mark.parametrize('content', [b'hello, this is no image', b''])
def test_text_file_named_tif(tmp_path, a, content):
    path = tmp_path / 'b.tif'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf'b.tif: cannot be read as a raster \({len(content)} bytes\).*replace'):
        open_pair(a, path)


def test_missing_file(tmp_path, a):
    with pytest.raises(FileNotFoundError, match='b.tif does not exist'):
        open_pair(a, tmp_path / 'b.tif')


@pytest.mark.parametrize('options', [{}, dict(tiled=True, blockxsize=16, blockysize=16, compress='deflate')])
@pytest.mark.parametrize('keep', [0.3, 0.9])
def test_truncated(tmp_path, a, images, write_raster, options, keep):
    path = write_raster(tmp_path / 'b.tif', images[1], **options)
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * keep)])
    with pytest.raises(ValueError, match='b.tif: (is truncated|cannot be read)'):
        open_pair(a, path)


def test_damage_inside_is_found_while_reading(tmp_path, a, images, write_raster, read):
    path = write_raster(tmp_path / 'b.tif', images[1], compress='deflate', origin=(500001, 5300000))
    content = bytearray(path.read_bytes())
    content[len(content) // 2:len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(OSError, match='b.tif: reading rows 0 to 60 failed'):
        read(a, path)


def test_no_overlap(tmp_path, a, images, write_raster):
    far = write_raster(tmp_path / 'b.tif', images[1], origin=(600000, 5300000))
    with pytest.raises(ValueError, match=r'do not overlap: A lies at 9\.0000\..*, B at 10\.3'):
        open_pair(a, far)


def test_crs_missing_in_one(tmp_path, a, images, write_raster):
    without = write_raster(tmp_path / 'b.tif', images[1], crs=None)
    for pair in ((a, without), (without, a)):
        with pytest.raises(ValueError, match='b.tif has no CRS, but .*a.tif has EPSG:32632.*rio edit-info'):
            open_pair(*pair)


def test_crs_missing_in_both_is_fine_on_one_grid_only(tmp_path, images, write_raster, read):
    a, b = (write_raster(tmp_path / f'{name}.tif', image, crs=None) for name, image in zip('ab', images))
    assert read(a, b)[2].crs is None
    smaller = write_raster(tmp_path / 'c.tif', images[1][:50], crs=None)
    with pytest.raises(ValueError, match=r'a.tif \(80 x 60, upper left at 500000.*c.tif \(80 x 50.* have no CRS'):
        open_pair(a, smaller)


@pytest.mark.parametrize('fourth, names', [
    (7, ['red', 'green', 'blue', 'undefined']),
    (7, ['red', 'green', 'blue', 'nir']),
    (255, ['red', 'green', 'blue', 'alpha']),
])
def test_three_against_four_bands(tmp_path, a, images, write_raster, fourth, names, read):
    if names[3] == 'nir':
        names[3] = 'undefined'
    four = np.dstack([images[1], np.full((60, 80), fourth, np.uint8)])
    pair, valid, _ = read(a, write_raster(tmp_path / 'b.tif', four, colorinterp=names))
    assert (pair[..., 3:] == images[1]).all()
    assert valid.all()


def test_bands_are_found_by_name_or_taken_as_told(tmp_path, a, images, write_raster, read):
    four = np.dstack([images[1][..., ::-1], np.zeros((60, 80), np.uint8)])
    named = write_raster(tmp_path / 'b.tif', four, colorinterp=['blue', 'green', 'red', 'undefined'])
    assert (read(a, named)[0][..., 3:] == images[1]).all()
    unnamed = write_raster(tmp_path / 'c.tif', four, colorinterp=['gray', 'undefined', 'undefined', 'undefined'],
                           photometric='minisblack')
    assert 'none of its 4 bands is named red' in read(a, unnamed)[2].notes[0]
    assert (read(a, unnamed, bands=[1, 2, 3], bands_b=[3, 2, 1])[0][..., 3:] == images[1]).all()
    with pytest.raises(ValueError, match=r'c.tif has the bands \[1, 2, 3, 4\]; .* got \[5, 1, 2\]'):
        open_pair(a, unnamed, ReadOptions(bands_b=[5, 1, 2]))


def test_grey(tmp_path, a, images, write_raster, read):
    pair, _, source = read(a, write_raster(tmp_path / 'b.tif', images[1][..., 0]))
    assert (pair[..., 3:] == images[1][..., :1]).all()
    assert source.notes == ['B: band 1 is used as grey']


@pytest.mark.parametrize('shift', [0, 2])
def test_alpha_is_a_mask(tmp_path, a, images, write_raster, shift, read):
    alpha = np.full((60, 80), 255, np.uint8)
    alpha[:20] = 0
    b = write_raster(tmp_path / 'b.tif', np.dstack([images[1], alpha]), colorinterp=['red', 'green', 'blue', 'alpha'],
                     origin=(500000, 5300000 - shift * 0.5))
    _, valid, _ = read(a, b)
    assert not valid[:20 + shift].any()
    assert valid[20 + shift:].all()


@pytest.mark.parametrize('shift', [0, 2])
def test_nodata_counts_where_all_bands_have_it(tmp_path, a, images, write_raster, shift, read):
    image = images[1].copy()
    image[:20] = 0
    image[30, :, 0] = 0  # a dark red value is none
    b = write_raster(tmp_path / 'b.tif', image, nodata=0, origin=(500000, 5300000 - shift * 0.5))
    _, valid, _ = read(a, b)
    assert not valid[:20 + shift].any()
    assert valid[20 + shift:].all()


@pytest.mark.parametrize('nodata', [None, float('nan')])
@pytest.mark.parametrize('shift', [0, 2])
def test_nan_pixels(tmp_path, a, images, write_raster, nodata, shift, read):
    image = images[1].astype(np.float32)
    image[:20] = np.nan
    b = write_raster(tmp_path / 'b.tif', image, nodata=nodata, origin=(500000, 5300000 - shift * 0.5))
    pair, valid, source = read(a, b)
    assert not valid[:20 + shift].any()
    assert valid[20 + shift:].all()
    assert 'B: float32 values of 0..255 beside an 8-bit image are taken as they are' in source.notes[-1]
    assert (pair[20 + shift:, :, 3:] == images[1][20:60 - shift]).all()


def test_16_bits(tmp_path, a, images, write_raster, read):
    deep = images[0].astype(np.uint16) * 100
    pair, _, source = read(a, write_raster(tmp_path / 'b.tif', deep))
    low, high = np.percentile(deep[..., 0], (2, 98))
    expected = np.clip((deep[..., 0] - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(pair[..., 3], expected, atol=0.51)
    assert (pair[..., :3] == images[0]).all()  # the 8 bits of A stay
    assert source.notes[0].startswith(f'B: uint16 values are stretched to 8 bits: {low:g}..{high:g}')
    told, _, _ = read(a, tmp_path / 'b.tif', value_range=(0, 25500))
    assert (told[..., 3:] == images[0]).all()


def test_stretch_uses_only_the_ground_that_both_show(tmp_path, images, write_raster, read):
    deep = images[0].astype(np.uint16) * 10
    bright = deep.copy()
    bright[:30] = 60000  # where B has no data
    b = deep.copy()
    b[:30] = 0
    paths = [write_raster(tmp_path / f'{name}.tif', image, nodata=nodata)
             for name, image, nodata in (('a', bright, None), ('b', b, 0))]
    pair, _, _ = read(*paths)
    assert (pair[30:, :, :3] == pair[30:, :, 3:]).all()


def test_bands_that_are_no_picture(tmp_path, a, write_raster):
    path = write_raster(tmp_path / 'b.tif', np.zeros((60, 80), np.complex64))
    with pytest.raises(ValueError, match='b.tif: has complex values'):
        open_pair(a, path)


def test_paths_with_spaces_and_other_letters(tmp_path, images, write_raster, read):
    folder = tmp_path / 'Größe 北京'
    folder.mkdir()
    a, b = (write_raster(folder / f'{name} – é.tif', image) for name, image in zip('ab', images))
    assert read(a, b)[2].name == 'a – é'


def test_without_rasterio_the_extra_is_named(tmp_path, a, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, 'mamba_cd_plugin.inference.raster_pair', None)
    with pytest.raises(ImportError, match=r"needs rasterio: pip install 'mamba_cd_plugin\[geo\]'"):
        open_pair(a, tmp_path / 'b.tif')


def test_thumbnail(tmp_path, a, images, write_raster):
    with open_pair(a, write_raster(tmp_path / 'b.tif', images[1])) as source:
        small = source.thumbnail(20)
    assert small.pair.shape == (3, 4, 6)
    np.testing.assert_allclose(small.pair[0, 0, :3], images[0][:20, :20].mean(axis=(0, 1)), atol=1)


def test_near_infrared_that_the_header_calls_alpha_is_no_mask(tmp_path, a, images, write_raster, read):
    infrared = np.random.default_rng(2).integers(30, 200, (60, 80, 1)).astype(np.uint8)
    infrared[20:40] = 0  # water
    names = ['red', 'green', 'blue', 'alpha']
    for origin in ((500000, 5300000), (500002, 5300000)):
        b = write_raster(tmp_path / 'b.tif', np.dstack([images[1], infrared]), colorinterp=names, origin=origin)
        pair, valid, source = read(a, b)
        shift = (origin[0] - 500000) * 2
        assert valid[:, shift:].all()
        assert (pair[:, shift:, 3:] == images[1][:, :80 - shift]).all()
        assert 'B: band 4 is called alpha, but holds many values' in source.notes[0]
    false_colour, valid, source = read(a, b, bands_b=[4, 1, 2])
    assert (false_colour[:, 4:, 3] == infrared[:, :-4, 0]).all()
    assert valid[:, 4:].all()
    assert 'but --bands selects it: read as a colour, not as a mask' in source.notes[0]


def test_the_share_that_alpha_takes_away_is_said(tmp_path, a, images, write_raster, read):
    alpha = np.full((60, 80), 255, np.uint8)
    alpha[:15] = 0
    alpha[15] = 100  # a soft edge
    b = write_raster(tmp_path / 'b.tif', np.dstack([images[1], alpha]), colorinterp=['red', 'green', 'blue', 'alpha'])
    _, valid, source = read(a, b)
    assert valid.sum() == 45 * 80
    assert source.notes == ['B: 25.0 % of its pixels have no data (its alpha band 4 is 0)']


@pytest.mark.parametrize('kind, value', [(np.uint8, 0), (np.uint16, 0), (np.float32, -9999), (np.uint16, 65535)])
def test_a_collar_is_said_and_left_out_on_request(tmp_path, a, images, write_raster, kind, value, read):
    image = images[1].astype(kind)
    image[:, 60:] = value
    image[40:, 30:34] = image[40:, 30:34] // 2  # something dark that is no collar
    b = write_raster(tmp_path / 'b.tif', image)
    _, valid, source = read(a, b)
    assert valid.all()
    note = f'25.0 % of its pixels are {value} in all bands and reach the border'
    assert note in source.notes[0]
    assert f'--nodata {value} leaves them out' in source.notes[0]
    for origin in ((500000, 5300000), (500002, 5300000)):  # as it lies, and warped
        b = write_raster(tmp_path / 'b.tif', image, origin=origin)
        _, valid, source = read(a, b, nodata=value)
        left = (origin[0] - 500000) * 2
        assert valid[:, left:60 + left].all()
        assert not valid[:, 60 + left:].any()
        assert not any('reach the border' in note for note in source.notes)
    assert 'B: 25.0 % of its pixels have no data' in source.notes[0]


def test_dark_ground_inside_is_no_collar(tmp_path, a, images, write_raster, read):
    image = images[1].copy()
    image[20:40, 20:60] = 0
    assert read(a, write_raster(tmp_path / 'b.tif', image))[2].notes == []


@pytest.mark.parametrize('kind', [np.uint16, np.int16, np.float32])
def test_8_bits_in_a_wider_type_beside_8_bits(tmp_path, a, images, write_raster, kind, read):
    pair, _, source = read(a, write_raster(tmp_path / 'b.tif', images[1].astype(kind)))
    assert (pair[..., 3:] == images[1]).all()
    assert source.notes == [f'B: {np.dtype(kind)} values of 0..255 beside an 8-bit image are taken as they are '
                            '(--value-range stretches them)']


# Names that providers give their bands; the numbers are those of red, green and blue.
DESCRIBED = [
    (['blue', 'green', 'red', 'nir'], [3, 2, 1]),
    (['Blue', 'Green', 'Red'], [3, 2, 1]),
    (['coastal_blue', 'blue', 'green_i', 'green', 'yellow', 'red', 'rededge', 'nir'], [6, 4, 2]),  # PlanetScope
    (['B02 (blue)', 'B03 (green)', 'B04 (red)', 'B05 (red edge 1)', 'B08 (near infrared)'], [3, 2, 1]),
    (['NIR', 'R', 'G', 'B'], [2, 3, 4]),
    (['Band 1 - Near Infrared', 'Band 2 - Red', 'Band 3 - Green', 'Band 4 - Blue'], [2, 3, 4]),
]


@pytest.mark.parametrize('names, expected', DESCRIBED)
def test_bands_by_their_descriptions(tmp_path, write_raster, names, expected, read):
    import rasterio
    values = np.arange(10, 10 + 10 * len(names), 10)
    for name in 'ab':
        image = np.tile(values.astype(np.uint8), (60, 80, 1))
        with rasterio.open(write_raster(tmp_path / f'{name}.tif', image), 'r+') as file:
            file.descriptions = names
    pair, _, source = read(tmp_path / 'a.tif', tmp_path / 'b.tif')
    assert pair[0, 0, :3].tolist() == [10 * number for number in expected]
    told = f'A: bands {expected[0]}, {expected[1]} and {expected[2]} are red, green and blue by their descriptions'
    assert source.notes[0].startswith(told)


def test_descriptions_that_name_no_colour_are_said(tmp_path, a, images, write_raster, read):
    import rasterio
    b = write_raster(tmp_path / 'b.tif', np.dstack([images[1].astype(np.uint16)] * 2)[..., :4])
    with rasterio.open(b, 'r+') as file:
        file.descriptions = ['B2', 'B3', 'B4', 'B8']
    assert read(a, b)[2].notes[0] == (
        'B: none of its 4 bands is named red, green or blue; bands 1, 2 and 3 are taken for them (--bands chooses '
        'others). Their descriptions: B2, B3, B4, B8')


def test_bands_by_their_wavelengths(tmp_path, write_raster, read):
    import rasterio
    waves = [450., 480., 520., 560., 600., 655., 700., 850.]
    for name in 'ab':
        image = np.tile(np.arange(8, dtype=np.uint8), (60, 80, 1))
        with rasterio.open(write_raster(tmp_path / f'{name}.tif', image, photometric='minisblack',
                                        colorinterp=['gray'] + ['undefined'] * 7), 'r+') as file:
            for index, wave in enumerate(waves, 1):
                file.update_tags(index, wavelength=wave, wavelength_units='Nanometers')
    pair, _, source = read(tmp_path / 'a.tif', tmp_path / 'b.tif')
    assert pair[0, 0, :3].tolist() == [5, 3, 1]
    assert source.notes[0] == 'A: bands 6, 4 and 2 are red, green and blue by their wavelengths'


@pytest.mark.parametrize('shift', [0, 4])
def test_a_palette_is_replaced_by_its_colours(tmp_path, a, write_raster, shift, read):
    import rasterio
    numbers = (np.arange(60 * 80) % 3).reshape(60, 80).astype(np.uint8)
    colours = {0: (10, 20, 30, 255), 1: (200, 100, 0, 255), 2: (9, 9, 9, 255)}
    b = write_raster(tmp_path / 'b.tif', numbers, origin=(500000 + shift / 2, 5300000), nodata=2)
    with rasterio.open(b, 'r+') as file:
        file.write_colormap(1, colours)
    pair, valid, _ = read(a, tmp_path / 'b.tif')
    expected = numbers[:, :80 - shift]
    assert (valid[:, shift:] == (expected < 2)).all()
    assert (pair[:, shift:, 3:][expected == 1] == (200, 100, 0)).all()
    assert (pair[:, shift:, 3:][expected == 0] == (10, 20, 30)).all()


def test_white_as_zero_is_refused(tmp_path, a, write_raster):
    b = write_raster(tmp_path / 'b.tif', np.zeros((60, 80), np.uint8), photometric='miniswhite')
    with pytest.raises(ValueError, match=r'b.tif: its smallest value means white .MINISWHITE.*gdal_translate'):
        open_pair(a, b)
