"""The one reader of change labels: 0 unchanged, 1 changed, 255 ignored, whatever the file keeps them in."""
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mmengine.fileio as fileio
import numpy as np
from PIL import Image

from .formats import TIFF_STARTS, check_tiff, check_whole, is_deep, upright
from .pictures import IGNORE_INDEX, decode, local_file, read_deep, shorten

Window = tuple[tuple[int, int], tuple[int, int]]
# Of colours mixed or separated for printing and measuring, which no label is drawn in.
NO_LABEL_MODES = ('CMYK', 'YCbCr', 'LAB', 'HSV')
COUNTED = 1 << 22  # pixels at a time
EXPECTED = 'expected one channel with 0 and 1, or 0 and 255, or equal channels'


def read_label(path: str, ignore_value: int | None = None, backend_args: dict | None = None) -> np.ndarray:
    """A label file as a change map, (H, W) uint8 with 0 unchanged, 1 changed and :data:`IGNORE_INDEX` ignored.

    Labels are read for what they show, and refused where that is unclear:

    - Any type of values, also float and 64-bit integers, as long as they are 0 and 1, or 0 and 255.
    - RGB where the channels agree.
    - A palette by its colours where these are grey; else by its indices, if index 0 is black.
    - Transparency only where it says the same as the colours, or all colours are one and it is the content.
    - A TIFF whose 0 is white (MINISWHITE) by what it shows. Its nodata value is ignored beside 0 and 1.

    Args:
        path: The label file.
        ignore_value: The value in the file that marks pixels without truth. Default None: there is none.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        OSError: The file cannot be decoded to its end.
        ValueError: It is none of these; the message says what was found and how to convert it.
    """
    content = fileio.get(path, backend_args=backend_args)
    if content.startswith(TIFF_STARTS):
        label = _read_raster(path, content, ignore_value)
        if label is not None:
            return label
    image = decode(path, content)
    label = _of_pillow(image, content, path, ignore_value)
    return binarize_label(upright(label, image), path, ignore_value)


def _of_pillow(image: Image.Image, content: bytes, path: str, ignore_value: int | None) -> np.ndarray:
    if is_deep(content):
        channels = read_deep(path, content)
        return _of_channels(channels, channels.shape[2] in (2, 4), path)
    if image.mode in NO_LABEL_MODES:
        raise ValueError(f'{path}: a label of mode {image.mode}, {EXPECTED}. Convert it to a single-channel PNG.')
    clear = image.mode == 'PA' or 'transparency' in image.info
    channels = np.atleast_3d(np.asarray(image.convert('RGBA') if clear else image))
    alpha = clear or image.mode in ('LA', 'RGBA')
    if image.mode == 'P' and (not alpha or _is_one(channels[..., -1])):
        return _of_palette(np.asarray(image), np.array(image.getpalette('RGB')).reshape(-1, 3), path, ignore_value)
    return _of_channels(channels, alpha, path)


def binarize_label(label: np.ndarray, source: str, ignore_value: int | None = None) -> np.ndarray:
    """Map a label of {0, 1} or {0, 255} to {0, 1}: an unmapped 255 would be mmseg's ignore_index, and train on nothing.

    Args:
        label: Shape (H, W).
        source: Name of the label in messages, normally its path.
        ignore_value: The value that becomes :data:`IGNORE_INDEX`.

    Raises:
        ValueError: Other values, or 1 and 255 together.
    """
    if label.dtype.kind == 'c':
        raise ValueError(f'{source}: a label of complex values ({label.dtype}); {EXPECTED}.')
    values = _values(label)
    classes = [value for value in values if value != ignore_value]
    changed_value = 255 if 255 in classes else 1
    if not set(classes) <= {0, changed_value}:
        kind = '' if label.dtype == np.uint8 else f' of type {label.dtype}'
        raise ValueError(f'{source}: label values {shorten(values)}{kind}; expected only 0 and 1, or only 0 and 255. '
                         + _remedy(values, ignore_value, source))
    change_map = (label == changed_value).astype(np.uint8)
    if ignore_value is not None:
        change_map[label == ignore_value] = IGNORE_INDEX
    return change_map


def _remedy(values: list, ignore_value: int | None, source: str) -> str:
    if values == [0, 1, 255] and ignore_value is None:
        return 'If 255 marks pixels without truth, set ignore_value=255 of the data set.'
    if len(values) > 3:  # more than two classes and one value to ignore: not a mask, but one that was smoothed
        return ('It looks interpolated or stored as JPEG: threshold it at half its range and store it as PNG: '
                f'magick {source} -threshold 50% -depth 8 label.png')
    return 'Recode it, or set ignore_value of the data set to the value of pixels without truth.'


def _values(label: np.ndarray) -> list:
    if label.dtype == np.uint8:  # a count is some ten times faster than the sort in np.unique
        flat = label.ravel()  # in parts, since each is counted as 8 bytes a pixel
        counts = sum(np.bincount(flat[start:start + COUNTED], minlength=256) for start in range(0, len(flat), COUNTED))
        return np.flatnonzero(counts).tolist()
    values = np.unique(label.astype(np.uint8) if label.dtype == bool else label)
    return [int(value) if np.isfinite(value) and value == np.round(value) else float(value) for value in values]


def _of_channels(channels: np.ndarray, alpha: bool, path: str) -> np.ndarray:
    """One channel (H, W) of (H, W, channels), the last of which may be alpha."""
    colours = channels[..., :-1] if alpha else channels
    label = colours[..., 0]
    if colours.shape[2] > 1 and not (colours == label[..., None]).all():
        raise ValueError(f'{path}: a label of {channels.shape[2]} channels which differ, such as '
                         f'{_example(colours, label)}; {EXPECTED}. Convert it to a single-channel PNG with 255 where '
                         'the colour means a change.')
    opacity = channels[..., -1]
    if not alpha or _is_one(opacity):
        return label
    if _is_one(label):
        if label.flat[0] > 0:
            return opacity  # white everywhere, and drawn by leaving the rest transparent
    elif (opacity > 0).all() or ((opacity > 0) == (label > 0)).all():
        return label
    raise ValueError(f'{path}: a label with transparent pixels that says one thing by its colours and another by its '
                     f'transparency ({(opacity == 0).mean():.1%} of the pixels are transparent); {EXPECTED}. Flatten '
                     f'it: magick {path} -background black -flatten label.png')


def _is_one(channel: np.ndarray) -> bool:
    return bool((channel == channel.flat[0]).all())


def _example(colours: np.ndarray, label: np.ndarray) -> tuple:
    row, column = np.argwhere((colours != label[..., None]).any(axis=2))[0]
    return tuple(colours[row, column].tolist())


def _of_palette(indices: np.ndarray, palette: np.ndarray, path: str, ignore_value: int | None) -> np.ndarray:
    """What the picture shows: an index says nothing by itself, and some programs store white as 0."""
    used = _values(indices)
    colours = palette[[index for index in used if index < len(palette)]]
    if len(np.unique(colours, axis=0)) == len(used):
        if (colours == colours[:, :1]).all() and {*colours[:, 0].tolist()} <= {0, 1, 255, ignore_value}:
            return palette[:, 0][indices].astype(np.uint8)
        if not palette[0].any():
            return indices
    shown = shorten([f'{index} is {tuple(palette[index].tolist())}' for index in used if index < len(palette)])
    raise ValueError(f'{path}: a palette label whose colours do not say what is changed ({shown}); expected black for '
                     'unchanged and white for changed, or any colours with index 0 black. Convert it to a '
                     'single-channel PNG.')


def _read_raster(path: str, content: bytes, ignore_value: int | None) -> np.ndarray | None:
    """A TIFF through rasterio, which knows types and palettes that Pillow does not; None where it is not installed."""
    try:
        import rasterio  # noqa: F401
    except ImportError:
        return None
    with local_file(path, content) as file, open_label(file, path) as dataset:
        check_whole(path, dataset, dataset.count, len(content))
        return read_label_window(dataset, path, ignore_value)


@contextmanager
def open_label(file: str, name: str) -> Iterator[Any]:
    """A label as a rasterio data set, of which parts are read by :func:`read_label_window`.

    Args:
        file: The file.
        name: Name in messages.

    Raises:
        OSError: It is damaged; raised when it is opened or read.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    try:
        check_tiff(file)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)  # a label lies where its images do
            dataset = rasterio.open(file)
        with dataset:
            yield dataset
    except (RasterioError, UnicodeDecodeError) as error:  # the latter of a header
        reason = str(error.__cause__ or error).replace(file, name)
        raise OSError(f'{name}: cannot be read as an image ({os.path.getsize(file)} bytes): {reason}. The file is '
                      'damaged or incomplete: replace or convert it.') from error


def read_label_window(dataset: Any, name: str, ignore_value: int | None = None,
                      window: Window | None = None) -> np.ndarray:
    """A part of a label, or all of it, as :func:`read_label` gives it.

    Args:
        dataset: Output of :func:`open_label`.
        name: Name in messages.
        ignore_value: The value in the file that marks pixels without truth.
        window: ((first row, last but one), (first column, last but one)).
    """
    from rasterio.enums import ColorInterp
    alpha = dataset.count in (2, 4) and dataset.colorinterp[-1] == ColorInterp.alpha
    if dataset.count not in (1, 3) and not alpha:
        raise ValueError(f'{name}: a label of {dataset.count} bands; {EXPECTED}. Select one: '
                         f'gdal_translate -b 1 {name} label.tif')
    channels = dataset.read(window=window).transpose(1, 2, 0)
    if ColorInterp.palette in dataset.colorinterp:
        palette = dataset.colormap(1)
        colours = np.zeros((max(palette) + 1, 3), np.uint8)
        colours[list(palette)] = [colour[:3] for colour in palette.values()]
        label = _of_palette(channels[..., 0], colours, name, ignore_value)
    else:
        label = _of_channels(channels, alpha, name)
        if dataset.tags(ns='IMAGE_STRUCTURE').get('MINISWHITE') == 'YES' and label.dtype == np.uint8:
            label = 255 - label
    values, nodata = set(_values(label)), dataset.nodata
    if ignore_value is None and nodata not in (None, 0) and {1, nodata} <= values <= {0, 1, nodata}:
        ignore_value = int(nodata)
    return binarize_label(label, name, ignore_value)
