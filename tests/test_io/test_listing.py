"""Which files are images, and lists of names as people write them."""
import pytest

from mamba_cd_plugin.io.listing import is_clutter, read_names, sort_images

KNOWN = {'x', 'y', 'area 1/z', 'tile_0.5m', 'été'}


@pytest.mark.parametrize('content, names', [
    (b'x\ny\n', ['x', 'y']),
    (b'x.png\r\ny.tif \r\n\r\n', ['x', 'y']),  # Windows
    (b'x\ry', ['x', 'y']),
    (b'\xef\xbb\xbfx\r\ny', ['x', 'y']),  # Notepad
    ('x\r\ny\r\n'.encode('utf-16'), ['x', 'y']),  # PowerShell's >
    ('\ufeffx\n'.encode('utf-16-be'), ['x']),
    ('x\ny\n'.encode('utf-16-le'), ['x', 'y']),  # without a byte order mark
    ('été.png'.encode(), ['été']),
    ('e\u0301te\u0301.png'.encode(), ['été']),  # macOS: the letter, and its accent
    (b'# of 2019\nx\n\n  y\n', ['x', 'y']),
    (b'train/A/x.png\n./y.jpg\n', ['x', 'y']),
    (b'A\\x.png\nC:\\data\\A\\y.png', ['x', 'y']),
    (b'A/x.png B/x.png label/x.png\nA/y.png,B/y.png', ['x', 'y']),
    (b'test/A/area 1/z.tif', ['area 1/z']),
    (b'tile_0.5m\n', ['tile_0.5m']),
    (b'unknown.png\n', ['unknown']),  # for the message that it is missing
    (b'x y', ['x y']),  # two names are no name
])
def test_lists(tmp_path, content, names):
    (tmp_path / 'train.txt').write_bytes(content)
    assert read_names(str(tmp_path / 'train.txt'), KNOWN) == names


@pytest.mark.parametrize('content, message', [
    (b'\n\n', r'train\.txt names no image'),
    (b'x\ny.png\nA/x.tif\n', r'train\.txt names x more than once'),
    ('x\né'.encode('latin1'), r'train\.txt: line 2 is not UTF-8 .*iconv -f LATIN1'),
])
def test_refused_lists(tmp_path, content, message):
    (tmp_path / 'train.txt').write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_names(str(tmp_path / 'train.txt'), KNOWN)


def test_what_is_an_image():
    files = ['s1.png', '._s1.png', '.DS_Store', 'Thumbs.db', 'sub/.ipynb_checkpoints/s1.png', '__MACOSX/s1.png',
             '@eaDir/s1.png', 's2.TIF', 's2.jpg', 'notes.txt', 'sub/s1.jpeg']
    assert sort_images(files) == (
        {'s1': 's1.png', 's2': 's2.TIF', 'sub/s1': 'sub/s1.jpeg'}, ['notes.txt'], [('s2.TIF', 's2.jpg')])
    assert not is_clutter('../data/s1.png')
