"""A plain picture (PNG, JPEG) with all its bits and its transparency."""
from typing import NamedTuple

import mmcv
import numpy as np

from .pictures import decode, to_rgb


class Picture(NamedTuple):
    """A picture.

    Attributes:
        values: RGB (H, W, 3), uint8 or uint16.
        valid: Where it is not fully transparent, bool (H, W).
    """
    values: np.ndarray
    valid: np.ndarray


def read_picture(path: str) -> Picture:
    """Read a picture.

    Pillow notices every damage, but cuts the colours of a 16-bit PNG down to 8 bits without a word; cv2 keeps them, but
    makes up what is missing of a damaged file. So the first reads every file, and the second those of 16 bits again.

    Raises:
        OSError: If it cannot be decoded to its end.
    """
    image = decode(path)
    if image.format == 'PNG':
        deep = np.atleast_3d(mmcv.imread(path, flag='unchanged', backend='cv2'))
        if deep.dtype == np.uint16:
            values = np.repeat(deep, 3, axis=2) if deep.shape[2] == 1 else deep[..., 2::-1]  # cv2's order is BGR(A)
            return Picture(values, deep[..., 3] > 0 if deep.shape[2] == 4 else np.ones(deep.shape[:2], bool))
    if image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info:
        pixels = np.asarray(image.convert('RGBA'))
        return Picture(pixels[..., :3], pixels[..., 3] > 0)
    values = to_rgb(image, path)
    return Picture(values, np.ones(values.shape[:2], bool))
