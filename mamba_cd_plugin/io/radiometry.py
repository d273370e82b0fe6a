"""From the values of a sensor to the 8 bits that the models are trained on."""
from typing import NamedTuple, Optional

import numpy as np

# What a desktop GIS does to show such an image ('cumulative count cut'): what looks right there looks right here.
PERCENTILES = (2, 98)


class Stretch(NamedTuple):
    """Linear map of the values ``low``..``high`` of each band to 0..255, for images of other than 8 bits.

    The rule: 8-bit images are used as they are. Of any other type, each band of each date is stretched by its own 2nd
    and 98th percentile over the ground that both dates show. Each date its own, because sun, haze and sensor differ
    between the dates and the models are trained on images that were each made to look well; the same ground for both,
    so that what only one image shows cannot shift the colours of the rest. ``value_range`` replaces the percentiles.

    Attributes:
        low: Per band (3,) the value that becomes 0.
        high: Per band (3,) the value that becomes 255.
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
                 value_range: Optional[tuple[float, float]]) -> Optional[Stretch]:
    """The stretch that an image needs.

    Args:
        values: Sample of the image (H, W, 3).
        valid: Which pixels of it have data in both dates (H, W).
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


def check_value_range(value_range: Optional[tuple[float, float]]) -> None:
    """Refuse a range that is none.

    Raises:
        ValueError: If it does not rise.
    """
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ValueError('value_range: expected the value for black and then the higher one for white, got '
                         f'{value_range}')
