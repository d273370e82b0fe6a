"""Reading of images and change labels, with every defect of a file named before it can reach a model."""
import io
from typing import Optional

import mmengine.fileio as fileio
import numpy as np
from PIL import Image

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.tif', '.tiff')
# mmseg's ignore_index; also the padding value of mmcv's `Pad` and of mmseg's `SegDataPreProcessor` for label maps.
IGNORE_INDEX = 255
# How many values of a bad label, or names of a bad folder, an error message shows.
MAX_SHOWN = 5


def shorten(items: list) -> str:
    """The first few items as text, and how many more there are."""
    shown = ', '.join(str(item) for item in items[:MAX_SHOWN])
    return shown + (f' and {len(items) - MAX_SHOWN} more' if len(items) > MAX_SHOWN else '')


def read_rgb(path: str, backend_args: Optional[dict] = None) -> np.ndarray:
    """An image file as RGB, (H, W, 3) uint8. Grey and palette images are expanded, an alpha channel is dropped.

    Pillow is used directly instead of ``mmcv.imread``: mmcv's default cv2 backend fills the rest of a truncated JPEG
    with grey, and its pillow backend saturates 16-bit pixels at 255, both without a word.

    Raises:
        OSError: The file cannot be decoded to its end.
        ValueError: The pixels have more than 8 bits.
    """
    return to_rgb(decode(path, backend_args), path)


def to_rgb(image: Image.Image, path: str) -> np.ndarray:
    """A decoded image as RGB, (H, W, 3) uint8; ``path`` is for the error, see :func:`read_rgb`."""
    if image.mode[0] in 'IF':  # Pillow's modes for 16 and 32 bits: I, I;16, I;16B, F
        raise ValueError(f'{path}: pixels of Pillow mode {image.mode!r}, expected 8 bits per channel. '
                         'Rescale both images of the pair to 8 bits in the same way.')
    return np.asarray(image.convert('RGB'))


def read_label(path: str, ignore_value: Optional[int] = None, backend_args: Optional[dict] = None) -> np.ndarray:
    """A label file as a change map, (H, W) uint8 with 0 unchanged, 1 changed and :data:`IGNORE_INDEX` ignored.

    Palette images are read as their indices. An RGB label is accepted where its channels agree.

    Args:
        path: The label file.
        ignore_value: The value in the file that marks pixels without truth. Default None: there is none.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        OSError: The file cannot be decoded to its end.
        ValueError: The channels differ, or values other than {0, 1} or {0, 255} occur.
    """
    image = decode(path, backend_args)
    label = np.asarray(image)
    if label.ndim == 3:
        colours = label[..., :-1] if image.mode.endswith('A') else label
        label = colours[..., 0]
        if not (colours == label[..., None]).all():
            raise ValueError(f'{path}: a {image.mode} label whose channels differ; expected one channel with 0 and 1 '
                             'or 0 and 255, or equal channels. Convert it to a single-channel PNG.')
    return binarize_label(label, path, ignore_value)


def binarize_label(label: np.ndarray, source: str, ignore_value: Optional[int] = None) -> np.ndarray:
    """Map a label of {0, 1} or {0, 255} to {0, 1}: an unmapped 255 would be mmseg's ignore_index, and train on nothing.

    Args:
        label: Shape (H, W).
        source: What the error message calls the label, normally its path.
        ignore_value: The value that becomes :data:`IGNORE_INDEX`.

    Raises:
        ValueError: Other values, or 1 and 255 together.
    """
    values = _values(label)
    classes = [value for value in values if value != ignore_value]
    changed_value = 255 if 255 in classes else 1
    if not set(classes) <= {0, changed_value}:
        raise ValueError(f'{source}: label values {shorten(values)}; expected only 0 and 1, or only 0 and 255. '
                         + _label_remedy(values, ignore_value))
    change_map = (label == changed_value).astype(np.uint8)
    if ignore_value is not None:
        change_map[label == ignore_value] = IGNORE_INDEX
    return change_map


def _label_remedy(values: list, ignore_value: Optional[int]) -> str:
    if values == [0, 1, 255] and ignore_value is None:
        return 'If 255 marks pixels without truth, set ignore_value=255 of the data set.'
    if len(values) > 3:  # more than two classes and one value to ignore: not a mask, but one that was smoothed
        return 'It looks interpolated or stored as JPEG: threshold it at half its range and store it as PNG.'
    return 'Recode it, or set ignore_value of the data set to the value of pixels without truth.'


def _values(label: np.ndarray) -> list:
    if label.dtype == np.uint8:  # a count is some ten times faster than the sort in np.unique
        return np.flatnonzero(np.bincount(label.ravel(), minlength=256)).tolist()
    return np.unique(label.astype(np.uint8) if label.dtype == bool else label).tolist()


def decode(path: str, backend_args: Optional[dict] = None) -> Image.Image:
    """An image file, decoded to its end.

    Raises:
        OSError: It cannot be.
    """
    content = fileio.get(path, backend_args=backend_args)
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, zlib.error ... as the damage falls
        raise OSError(f'{path}: cannot be read as an image ({len(content)} bytes): {error}. '
                      'The file is damaged, incomplete or of an unsupported kind: replace or convert it.') from error
    return image
