"""What image files say about themselves beside their pixels: kind, checksums, orientation, kind of colours."""
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
PNG_START = b'\x89PNG\r\n\x1a\n'
# Of the pixels of an image that is not read by windows: RGB of 18,900 x 18,900 pixels, as many as Pillow takes as well.
WHOLE_BYTES = 1 << 30
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


def check_whole(path: str, height: int, width: int, pixel_bytes: int) -> None:
    """Refuse a raster that is too large to be read as a whole: a TIFF of a few bytes may say that it has any size.

    Raises:
        ValueError: It takes more than :data:`WHOLE_BYTES`.
    """
    needed = height * width * pixel_bytes
    if needed > WHOLE_BYTES:
        raise ValueError(f'{path}: is too large to be decoded as a whole ({width} x {height} pixels, {needed:,} bytes; '
                         f'at most {WHOLE_BYTES:,}). Cut it into tiles: mamba-cd prepare folder DATA OUT')


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
