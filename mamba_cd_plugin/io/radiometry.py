"""What values of a sensor mean: which are no data, and which become the 8 bits that the models are trained on."""
from typing import NamedTuple

import cv2
import numpy as np

# What a desktop GIS does to show such an image ('cumulative count cut'): what looks right there looks right here.
PERCENTILES = (2, 98)
# An alpha band is nothing and all, but for a few soft edges; near infrared is hardly ever one value.
SOFT_ALPHA = 0.1
# A collar is said from this share of the image; what is less costs less than the note.
COLLAR_SHARE = 0.01
# Of the pixels along the border, for a value that is not at an end of the range.
FREQUENT = 0.05
# A picture of 8 bits has brighter pixels than this; a raw sensor, whose values may well be smaller, need not.
DARK = 64


class Stretch(NamedTuple):
    """Linear map of the values ``low``..``high`` of each band to 0..255, for images of other than 8 bits.

    The rule: 8-bit images are used as they are. Of any other type, each band of each date is stretched by its own 2nd
    and 98th percentile over the ground that both dates show. Each date its own, because sun, haze and sensor differ
    between the dates and the models are trained on images that were each made to look well; the same ground for both,
    so that what only one image shows cannot shift the colours of the rest. ``value_range`` replaces the percentiles.

    Attributes:
        low: Values that become 0, per band (3,).
        high: Values that become 255, per band (3,).
    """
    low: np.ndarray
    high: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(H, W, 3) of any type to uint8; NaN becomes 0."""
        share = (values.astype(np.float32) - self.low) / (self.high - self.low)
        return (np.nan_to_num(np.clip(share, 0, 1)) * 255 + 0.5).astype(np.uint8)

    def __str__(self) -> str:
        return ', '.join(f'{low:g}..{high:g}' for low, high in zip(self.low, self.high))


def find_stretch(values: np.ndarray, valid: np.ndarray,
                 value_range: tuple[float, float] | None) -> Stretch | None:
    """The stretch that an image needs.

    Args:
        values: Sample of the image (H, W, 3).
        valid: Mask of the pixels with data in both dates (H, W).
        value_range: The values for 0 and 255, where the user gives them.

    Returns:
        None for 8-bit values, which are used as they are.
    """
    if value_range is not None:
        low, high = (np.full(3, value, np.float32) for value in value_range)
    elif values.dtype == np.uint8:
        return None
    elif not valid.any():
        low, high = np.zeros(3, np.float32), np.ones(3, np.float32)
    else:
        low, high = np.percentile(values[valid].astype(np.float32), PERCENTILES, axis=0).astype(np.float32)
    return Stretch(low, np.where(high > low, high, low + 1))  # a flat band becomes black, not a division by zero


def check_value_range(value_range: tuple[float, float] | None) -> None:
    """Refuse a range whose upper end is not above its lower end.

    Raises:
        ValueError: If the upper end is not above the lower end.
    """
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ValueError('value_range: expected the value for black and then the higher one for white, got '
                         f'{value_range}')


def is_alpha(values: np.ndarray) -> bool:
    """Whether a band that is called alpha holds transparency: 0, one other value, and few in between.

    GDAL calls the fourth band of an 8-bit file alpha by itself, and in many files it is near infrared.

    Args:
        values: Sample of the band.
    """
    opaque = values[values != 0]
    if not len(opaque):
        return True
    most = np.unique(opaque, return_counts=True)[1].max()
    return most >= (1 - SOFT_ALPHA) * len(opaque)


def find_collars(values: np.ndarray, valid: np.ndarray) -> list[tuple[float, float]]:
    """Collars that are no ground and that the file does not call nodata.

    Such a collar reaches the border of the image and has one value in all bands: 0, the type's highest, a negative
    lowest, or, of a colour image, whatever is frequent along the border.

    Args:
        values: Sample of the image (H, W, bands).
        valid: Where the file says that it has data (H, W).

    Returns:
        Their values, each with its share of the pixels.
    """
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    candidates = [0., float(np.nanmin(values, initial=0))]  # such as -9999
    if values.dtype.kind in 'iu':
        candidates.append(float(np.iinfo(values.dtype).max))
    if not (values[..., 0] == values[..., -1]).all():
        found, counts = np.unique(border[(border == border[:, :1]).all(axis=1)][:, 0], return_counts=True)
        candidates += [float(value) for value in found[counts >= FREQUENT * len(border)]]
    collars = []
    for value in dict.fromkeys(candidates):
        same = (values == value).all(axis=2) & valid
        if same.mean() < COLLAR_SHARE:
            continue
        areas = cv2.connectedComponents(same.astype(np.uint8), connectivity=4)[1]
        outside = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
        share = float(np.isin(areas, outside[outside > 0]).mean())
        if share >= COLLAR_SHARE:
            collars.append((value, share))
    return collars


def is_8_bits_in_disguise(values: np.ndarray, valid: np.ndarray) -> bool:
    """Whether values of a wider type are really 8 bits: whole numbers up to 255, and not all of them dark."""
    kept = values[valid]
    return (values.dtype != np.uint8 and len(kept) > 0 and kept.min() >= 0 and DARK <= kept.max() <= 255
            and bool((kept == np.floor(kept)).all()))


def is_unit_range_of_8_bits(values: np.ndarray, valid: np.ndarray) -> bool:
    """Whether values are 8-bit values divided by 255, as torchvision's ``ToTensor`` and scikit-image give them."""
    kept = values[valid]
    if values.dtype.kind != 'f' or not len(kept) or kept.min() < 0 or not DARK / 255 <= kept.max() <= 1:
        return False
    steps = kept.astype(np.float64) * 255
    return bool((np.abs(steps - np.rint(steps)) < 0.1).all())  # float16 is off by 0.06


def describe_missing(valid: np.ndarray, why: str) -> str:
    """The share of an image's pixels that have no data, for the user; '' where all have."""
    missing = 1 - valid.mean()
    return f'{_percent(missing)} of its pixels have no data ({why})' if missing else ''


def describe_collars(values: np.ndarray, valid: np.ndarray) -> list[str]:
    """The collars that the file does not call nodata, see :func:`find_collars`, for the user."""
    return [f'{_percent(share)} of its pixels are {value:g} in all bands and reach the border, which looks like a '
            f'collar without data, but nothing says so, and they are read as ground. --nodata {value:g} leaves them out'
            for value, share in find_collars(values, valid)]


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %' if share >= 0.001 else 'less than 0.1 %'
