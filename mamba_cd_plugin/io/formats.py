"""What image files say about themselves besides their pixels: kind, checksums, orientation, colours."""
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
PNG_START = b'\x89PNG\r\n\x1a\n'
# Of the pixels of an image that is not read by windows: RGB of 18,900 x 18,900 pixels, as many as Pillow takes as well.
WHOLE_BYTES = 1 << 30
# An image that takes less is decoded whatever its header says: who reads it notices the damage soon enough.
HARMLESS_BYTES = 64 << 20
# The most bytes of pixels that a byte of a file can hold. Deflate: zlib's technical notes, 258 bytes in 2 bits. LZW of
# TIFF 6.0: strings of up to 3,837 bytes in 12 bits. ZSTD: RFC 8878, a block of one value, 128 KiB in 4 bytes. JPEG: 64
# values in 2 bits. A TIFF without compression or with PackBits may leave out blocks of zeros, though not nearly all of
# them. Of other kinds, such as LERC, a few bytes may be an image of any size.
DEFLATE_HOLDS = 1032
TIFF_HOLDS = {'NONE': DEFLATE_HOLDS, 'PACKBITS': DEFLATE_HOLDS, 'DEFLATE': DEFLATE_HOLDS, 'LZW': 2558, 'ZSTD': 1 << 15,
              'JPEG': 256, 'YCbCr JPEG': 1024}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type, PNG specification, 11.2.2
_BIT_DEPTH = 24  # place of the byte in a PNG file, from the PNG specification, 11.2.2
_UNUSED_PARTS = (b'zTXt', b'iTXt', b'iCCP')
_ORIENTATION, _PHOTOMETRIC = 0x0112, 0x0106  # tags of EXIF and TIFF
# Of GeoTIFF 1.1: the scale, the tie points and the transformation of the pixels.
_PLACE_TAGS = (33550, 33922, 34264)
# Photometric interpretations of TIFF 6.0 that are no grey and no RGB, though GDAL gives their bands as if they were.
_OTHER_COLOURS = {5: 'CMYK', 8: 'CIE L*a*b*', 9: 'ICC L*a*b*', 10: 'ITU L*a*b*'}
# How an EXIF orientation is undone; 1 is upright. EXIF 2.32, section 4.6.4.
TURNS = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image[:, ::-1].swapaxes(0, 1),
}


def is_deep(content: bytes) -> bool:
    """Whether a file is a PNG of 16 bits, which Pillow opens as one of 8 where it has colours."""
    return content.startswith(PNG_START) and content[_BIT_DEPTH:_BIT_DEPTH + 1] == b'\x10'


def upright(array: np.ndarray, image: Image.Image) -> np.ndarray:
    """An array (H, W, ...) of an image, turned as its EXIF orientation says."""
    turn = TURNS.get(orientation_of(image))
    return array if turn is None else turn(array)


def orientation_of(image: Image.Image) -> int:
    """The orientation in EXIF; 1 is upright."""
    # Pillow applies that of a TIFF by itself. Without EXIF nothing is searched: this runs once for each training image.
    return image.getexif().get(_ORIENTATION, 1) if 'exif' in image.info and image.format != 'TIFF' else 1


def check_png(content: bytes) -> bytes:
    """Check the sums in a PNG, which Pillow skips for the pixels: one changed bit can pass as another picture.

    Returns:
        The file without compressed texts and colour profiles: they are not used, and Pillow refuses the whole picture
        where one of them is longer than a megabyte.

    Raises:
        OSError: A sum is wrong, or the end is missing.
    """
    if not content.startswith(PNG_START):
        return content
    place, view = len(PNG_START), memoryview(content)
    kept: list[bytes | memoryview] = [PNG_START]
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(view[place:place + 4], 'big')
        kind = bytes(view[place + 4:place + 8])
        # A chunk with a small first letter may be wrong without harm to the picture (PNG specification, 5.4).
        if kind[:1].isupper() and zlib.crc32(view[place + 4:end]) != int.from_bytes(view[end:end + 4], 'big'):
            raise OSError(f'the checksum of its part {kind.decode("latin-1")} is wrong')
        if kind not in _UNUSED_PARTS:
            kept.append(view[place:end + 4])
        if kind == b'IEND':
            return content if len(kept) == 1 else b''.join(kept)
        place = end + 4
    raise OSError('its end is missing')


def check_promise(content: bytes, width: int, height: int) -> None:
    """Refuse a PNG or JPEG whose header promises more pixels than its bytes can hold, before memory is taken for them.

    Args:
        content: The file.
        width: Width in pixels as its header says.
        height: Height in pixels as its header says.

    Raises:
        OSError: It cannot hold them.
    """
    if 3 * width * height <= HARMLESS_BYTES:
        return
    if content.startswith(PNG_START):
        bits = _PNG_CHANNELS.get(content[_BIT_DEPTH + 1], 1) * content[_BIT_DEPTH]
        needed = height * (width * bits // 8) // DEFLATE_HOLDS
    else:
        needed = _blocks_of_jpeg(content) // 8  # of 8 x 8 pixels, each with one bit at least
    if needed > len(content):
        raise OSError(f'its header promises {width:,} x {height:,} pixels, which take {needed:,} bytes at least')


def _blocks_of_jpeg(content: bytes) -> int:
    """Blocks in a Huffman coded JPEG, of all colours, by its frame header (ITU T.81, B.2.2); 0 where there is none."""
    place = 2
    while place + 10 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2:place + 4], 'big')
        if marker in (0xC0, 0xC1, 0xC2):
            height, width, colours = struct.unpack('>HHB', content[place + 5:place + 10])
            factors = [divmod(content[at], 16) for at in range(place + 11, place + 10 + 3 * colours, 3)
                       if at < len(content)]
            across, down = (max((factor[axis] for factor in factors), default=1) or 1 for axis in (0, 1))
            return sum(-(-width * x // (8 * across)) * -(-height * y // (8 * down)) for x, y in factors)
        # 0xFF fills the space before a marker.
        place += 1 if marker == 0xFF else 2 + length
    return 0


def check_whole(path: str, dataset: Any, bands: int, size: int) -> None:
    """Refuse a raster that is too large to be read as a whole: a TIFF of a few bytes may say that it has any size.

    Args:
        path: Its name in messages.
        dataset: The raster, opened by rasterio.
        bands: How many of its bands are read.
        size: Bytes of the file.

    Raises:
        ValueError: It takes more than :data:`WHOLE_BYTES`.
        OSError: Its header promises more pixels than the file can hold.
    """
    tags, dtype = dataset.tags(1, ns='IMAGE_STRUCTURE'), np.dtype(dataset.dtypes[0])
    pixels = dataset.height * dataset.width * bands
    taken = pixels * dtype.itemsize
    if taken > WHOLE_BYTES:
        raise ValueError(f'{path}: is too large to be decoded as a whole ({dataset.width} x {dataset.height} pixels, '
                         f'{taken:,} bytes; at most {WHOLE_BYTES:,}). Cut it into tiles: mamba-cd prepare folder DATA '
                         'OUT')
    kind = dataset.tags(ns='IMAGE_STRUCTURE').get('COMPRESSION', 'NONE')
    needed = pixels * int(tags.get('NBITS', 8 * dtype.itemsize)) // 8 // TIFF_HOLDS.get(kind, pixels * 16)
    if taken > HARMLESS_BYTES and needed > size:
        raise OSError(f'{path}: cannot be read as an image ({size} bytes): its header promises {dataset.width:,} x '
                      f'{dataset.height:,} pixels, which take {needed:,} bytes at least. The file is damaged or '
                      'incomplete: replace or convert it.')


def check_tiff(file: str | Path) -> None:
    """Refuse a TIFF that GDAL would give with other pixels than it shows.

    Raises:
        ValueError: Its colours are no grey and no RGB, or it is stored turned and lies on no map, where the orientation
            would count for nothing.
    """
    with open(file, 'rb') as stream:
        head = stream.read(8)
        if not head.startswith(TIFF_STARTS):
            return
        try:
            tags = TiffImagePlugin.ImageFileDirectory_v2(head + stream.read(8) if 43 in head[2:4] else head)
            stream.seek(tags.next)
            tags.load(stream)
            colours, orientation = tags.get(_PHOTOMETRIC), tags.get(_ORIENTATION, 1)
            located = any(tag in tags for tag in _PLACE_TAGS)
        except (OSError, SyntaxError, ValueError, struct.error):
            return  # damage is named where the pixels are read
    name = Path(file).stem
    if colours in _OTHER_COLOURS:
        raise ValueError(f'{file}: TIFF with pixels of {_OTHER_COLOURS[colours]}, expected grey, RGB or RGBA. '
                         f'Convert it to RGB: magick {file} -colorspace sRGB {name}_rgb.tif')
    if orientation in TURNS and not located:
        raise ValueError(f'{file}: is stored turned (TIFF orientation {orientation}). Turn it upright: '
                         f'magick {file} -auto-orient {name}_upright.tif')
