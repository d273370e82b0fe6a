"""The one reader of image files: every tool gets the same pixels of a file, or the same refusal."""
import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import mmengine.fileio as fileio
import numpy as np
from PIL import Image, UnidentifiedImageError

from .formats import TIFF_STARTS, TURNS, check_png, check_promise, check_whole, is_deep, orientation_of, upright
from .radiometry import find_stretch

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.tif', '.tiff')
# mmseg's ignore_index; also the padding value of mmcv's `Pad` and of mmseg's `SegDataPreProcessor` for label maps.
IGNORE_INDEX = 255
# How many values of a bad label, or names of a bad folder, an error message shows.
MAX_SHOWN = 5

# Pillow's modes of which every pixel is 8 bits of grey or colour, or an index into a palette of such colours.
_GREY, _COLOUR, _DEEP_GREY = ('1', 'L', 'LA', 'La'), ('RGB', 'RGBA', 'RGBa', 'RGBX', 'P', 'PA'), ('I', 'F')
class Picture(NamedTuple):
    """An image.

    Attributes:
        values: RGB (H, W, 3), of the file's own type.
        valid: Where it is not fully transparent and, of a raster, not nodata; bool (H, W).
        note: Message for the user about how it was read, or ''.
    """
    values: np.ndarray
    valid: np.ndarray
    note: str = ''


def shorten(items: list) -> str:
    """The first few items as text, and how many more there are."""
    shown = ', '.join(str(item) for item in items[:MAX_SHOWN])
    return shown + (f' and {len(items) - MAX_SHOWN} more' if len(items) > MAX_SHOWN else '')


def read_rgb(path: str, backend_args: dict | None = None,
             value_range: tuple[float, float] | None = None) -> np.ndarray:
    """An image file as RGB, (H, W, 3) uint8. Grey and palette images are expanded, an alpha channel is dropped.

    Args:
        path: The file; its content and not its suffix says what it is.
        backend_args: Arguments of mmengine's file backend.
        value_range: The values that become 0 and 255, for images of more than 8 bits.

    Raises:
        OSError: The file cannot be decoded to its end.
        ValueError: The pixels have more than 8 bits and no ``value_range`` is given, or are no RGB or grey at all.
    """
    return to_8_bits(read_picture(path, backend_args).values, path, value_range)


def to_8_bits(values: np.ndarray, path: str, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """The values of a picture as uint8; args and errors as of :func:`read_rgb`.

    Args:
        values: Values of a :class:`Picture`.
        path: Path of the file, for the error.
        value_range: See :func:`read_rgb`.
    """
    stretch = find_stretch(values, np.ones(values.shape[:2], bool), value_range) if value_range is not None else None
    if stretch is not None:
        return stretch(values)
    if values.dtype != np.uint8:
        finite = values[np.isfinite(values)]
        found = f'{finite.min():g} to {finite.max():g}' if finite.size else 'NaN only'
        raise ValueError(f'{path}: {values.dtype} pixels with values from {found}, expected 8 bits per channel. '
                         'Give the sensor values for black and white, the same for all images of the data set, '
                         'as value_range=(LOW, HIGH) of LoadImagePair or --value-range LOW HIGH of the tools; or '
                         'convert them all: mamba-cd prepare folder DATA OUT --value-range LOW HIGH')
    return values


def read_for_eye(path: str, backend_args: dict | None = None) -> np.ndarray:
    """An image file as :func:`read_rgb` returns it; more than 8 bits are stretched for viewing.

    For drawing only: what a model is given has to be stretched for all images in the same way.
    """
    picture = read_picture(path, backend_args)
    stretch = find_stretch(picture.values, picture.valid, None)
    return picture.values if stretch is None else stretch(picture.values)


def read_picture(path: str, backend_args: dict | None = None) -> Picture:
    """An image file with all its bits and its transparency.

    ::

        TIFF -> rasterio (without it Pillow, for the plain kinds)
        PNG of 16 bits -> Pillow for every damage, then cv2, since Pillow cuts colours down to 8 bits
        PNG, JPEG and others -> Pillow: cv2 fills the rest of a truncated JPEG with grey

    Grey is repeated to three channels. An orientation in EXIF is applied. Colours are those in the file; an embedded
    colour profile (ICC) is not applied, as nowhere else in this field.

    Raises:
        OSError: It cannot be decoded to its end.
        ValueError: It is no grey or RGB picture; the message says what it is and how to convert it.
    """
    content = fileio.get(path, backend_args=backend_args)
    if content.startswith(TIFF_STARTS):
        raster = _read_raster(path, content)
        if raster is not None:
            return raster
    return _from_pillow(decode(path, content), path, content)


def to_picture(image: Image.Image, name: str) -> Picture:
    """What Pillow decoded as a :class:`Picture`; ``name`` is for the error.

    Raises:
        ValueError: It is no grey or RGB picture.
    """
    if image.mode[0] in _DEEP_GREY:
        values = np.asarray(image)
        return Picture(np.repeat(values[..., None], 3, axis=2), np.ones(values.shape, bool))
    if image.mode not in _GREY + _COLOUR:
        raise ValueError(f'{name}: {image.format or "an image"} with pixels of mode {image.mode} '
                         f'({len(image.getbands())} channels), expected grey, RGB or RGBA. Convert it '
                         f'to RGB: magick {name} -colorspace sRGB {Path(name).stem}.png')
    if has_alpha(image):
        pixels = np.asarray(image.convert('RGBA'))
        return Picture(pixels[..., :3], pixels[..., 3] > 0)
    values = np.asarray(image if image.mode == 'RGB' else image.convert('RGB'))
    return Picture(values, np.ones(values.shape[:2], bool))


def has_alpha(image: Image.Image) -> bool:
    """Whether pixels of an image may be transparent."""
    return image.mode in ('RGBA', 'RGBa', 'LA', 'La', 'PA') or 'transparency' in image.info


def _from_pillow(image: Image.Image, path: str, content: bytes) -> Picture:
    if is_deep(content):
        pixels = read_deep(path, content)
        colours = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]
        alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
        picture = Picture(colours, np.ones(pixels.shape[:2], bool) if alpha is None else alpha > 0)
    else:
        picture = to_picture(image, path)
    return Picture(upright(picture.values, image), upright(picture.valid, image), _describe_turn(image))


def read_deep(path: str, content: bytes) -> np.ndarray:
    """A PNG of 16 bits, (H, W, channels) uint16 in the order RGB and alpha."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise OSError(f'{path}: cannot be read as an image of 16 bits ({len(content)} bytes): replace or convert it.')
    pixels = np.atleast_3d(pixels)
    return pixels if pixels.shape[2] < 3 else pixels[..., [2, 1, 0, 3][:pixels.shape[2]]]  # cv2's order is BGR(A)


def _describe_turn(image: Image.Image) -> str:
    number = orientation_of(image)
    return f'is turned as its EXIF orientation ({number}) says' if number in TURNS else ''


def decode(path: str, content: bytes) -> Image.Image:
    """An image file, decoded to its end by Pillow.

    Raises:
        OSError: It cannot be decoded.
        ValueError: It is an animation, or too large to be decoded as a whole.
    """
    if not content:
        raise OSError(f'{path}: cannot be read as an image (0 bytes): it is empty: replace or convert '
                      'it.')
    try:
        content = check_png(content)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
        if image.format in ('PNG', 'JPEG', 'MPO'):
            check_promise(content, *image.size)
        # The further pictures of a camera's MPO and of a TIFF are previews.
        frames = 1 if image.format in ('MPO', 'TIFF') else getattr(image, 'n_frames', 1)
        image.load()
        orientation_of(image)  # damage of the EXIF data shows here
    except Image.DecompressionBombError as error:
        raise ValueError(f'{path}: is too large to be decoded as a whole: {error}. Convert it to a GeoTIFF, which is '
                         f'predicted window by window: gdal_translate {path} {Path(path).stem}.tif; or cut training '
                         'data into tiles') from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, zlib.error ... as the damage falls
        raise OSError(f'{path}: cannot be read as an image ({len(content)} bytes): {_reason(error, content)}. '
                      'The file is damaged, incomplete or of an unsupported kind: replace or convert it.') from error
    if frames > 1:
        raise ValueError(f'{path}: is an animation of {frames} frames, expected one image. Save the one that you mean: '
                         f'magick "{path}[0]" {Path(path).stem}.png')
    return image


def _reason(error: Exception, content: bytes) -> str:
    if content.startswith(b'version https://git-lfs'):
        return 'it is the pointer of a file in Git LFS (git lfs pull gets the file)'
    if isinstance(error, UnidentifiedImageError) and not content.startswith(TIFF_STARTS):
        return f'it begins with {content[:12]!r}, which no image format does'
    if content.startswith(TIFF_STARTS):
        return (f'{type(error).__name__}; kinds of TIFF that Pillow does not know need rasterio: '
                "pip install 'mamba_cd_plugin[geo]'")
    return str(error)


def _read_raster(path: str, content: bytes) -> Picture | None:
    """A TIFF through rasterio, with the bands that prediction takes; None where rasterio is not installed."""
    try:
        from rasterio.enums import ColorInterp
        from rasterio.errors import RasterioError

        from .rasters import alpha_band, choose_bands, open_raster
    except ImportError:
        return None
    with local_file(path, content) as file:
        try:
            with open_raster(Path(file)) as dataset:
                check_whole(path, dataset, min(3, dataset.count), len(content))
                if ColorInterp.palette in dataset.colorinterp and dataset.count == 1:
                    return _of_colormap(dataset.read(1), dataset.colormap(1))
                choice = choose_bands(dataset, None)
                values = dataset.read(sorted(set(choice.indexes)))
                alpha = alpha_band(dataset)
                if alpha:
                    valid = dataset.read(alpha) > 0
                elif ColorInterp.alpha in dataset.colorinterp:
                    valid = np.ones(dataset.shape, bool)
                else:
                    valid = dataset.read_masks(list(choice.indexes)).any(axis=0)
        except RasterioError as error:
            raise OSError(f'{path}: cannot be read as an image ({len(content)} bytes): {error.__cause__ or error}. The '
                          'file is damaged: replace or convert it.') from error
        except ValueError as error:
            message = str(error).replace(file, path)
            if isinstance(error.__cause__, RasterioError) or 'truncated' in message:
                raise OSError(message) from error
            if path not in message:  # such as letters in the header that are none
                message = (f'{path}: cannot be read as an image ({len(content)} bytes): {message}. Replace or convert '
                           'it.')
            raise ValueError(message) from error
    order = [sorted(set(choice.indexes)).index(index) for index in choice.indexes]
    values = values[order].transpose(1, 2, 0)
    return Picture(values, valid & np.isfinite(values).all(axis=2) if values.dtype.kind == 'f' else valid, choice.note)


def _of_colormap(indices: np.ndarray, colormap: dict) -> Picture:
    colours = np.zeros((max(max(colormap), int(indices.max())) + 1, 4), np.uint8)
    colours[list(colormap)] = list(colormap.values())
    pixels = colours[indices]
    return Picture(pixels[..., :3], pixels[..., 3] > 0)


class local_file:  # noqa: N801  used like a function
    """A path on the local disk for a file that may come from another backend; removed at the end where it was made."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path, self.content, self.made = path, content, ''

    def __enter__(self) -> str:
        if os.path.isfile(self.path):
            return str(self.path)
        handle, self.made = tempfile.mkstemp(suffix=os.path.splitext(self.path)[1])
        with open(handle, 'wb') as file:
            file.write(self.content)
        return self.made

    def __exit__(self, *exc_info: object) -> None:
        if self.made:
            os.remove(self.made)
