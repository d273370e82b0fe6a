"""The layers that things are drawn into, each thing within its own window."""
from typing import Optional

import cv2
import numpy as np

from .terrain import Window

# Fixed-point bits of the coordinates handed to OpenCV's drawing functions: 1/16 px.
_SHIFT = 4


def clip_window(shape: tuple[int, int], low: np.ndarray, high: np.ndarray) -> Optional[Window]:
    """The pixels between two corners (x, y), clipped to an image of `shape`; None where they miss it."""
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]) + 2, shape[1]), min(int(high[1]) + 2, shape[0])
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


class Canvas:
    """Colour, height and exposure to the sun of every pixel.

    Nothing here touches more than the window of the object at hand, so that the time is proportional to what is
    drawn and not to the number of objects times the size of the image.

    Attributes:
        colour: Float32 (H, W, 3), 0-1, unlit.
        height: Float32 (H, W), metres above the ground.
        exposure: Float32 (H, W), direct sunlight relative to level ground; shadows are not in it.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.colour = np.zeros((*shape, 3), np.float32)
        self.height = np.zeros(shape, np.float32)
        self.exposure = np.ones(shape, np.float32)

    def window_around(self, points: np.ndarray, pad: float) -> Optional[Window]:
        """The window of some points (N, 2) and `pad` pixels around them; None off the canvas."""
        return clip_window(self.shape, points.min(0) - pad, points.max(0) + pad)

    def blend(self, window: Window, colour: np.ndarray, alpha: np.ndarray) -> None:
        """Lays `colour` (3,) or (h, w, 3) over the window with opacity (h, w)."""
        view = self.colour[window]
        view += alpha[..., None] * (colour - view)


def _fixed_point(points: np.ndarray, window: Window) -> np.ndarray:
    origin = (window[1].start, window[0].start)
    return np.round((np.asarray(points) - origin) * (1 << _SHIFT)).astype(np.int32)


def polygon_mask(polygon: np.ndarray, window: Window) -> np.ndarray:
    """Coverage (h, w), 0-1, of a polygon (N, 2) within a window."""
    mask = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
    cv2.fillPoly(mask, [_fixed_point(polygon, window)], 255, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255


def line_mask(segments: np.ndarray, window: Window) -> np.ndarray:
    """Coverage (h, w), 0-1, of 1 px wide lines (N, 2, 2) within a window."""
    mask = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
    cv2.polylines(mask, list(_fixed_point(segments, window)), False, 255, 1, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255


def local_grid(window: Window, centre: tuple[float, float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (p, q), each float32 (h, w), along and across an object at `centre` turned by `angle`."""
    x = np.arange(window[1].start, window[1].stop, dtype=np.float32) - np.float32(centre[0])
    y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - np.float32(centre[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x
