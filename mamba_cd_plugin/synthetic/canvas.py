"""The layers that things are drawn into, each thing within its own window."""
from collections.abc import Sequence

import cv2
import numpy as np

from .plan import FIXED_BITS, fixed_point
from .terrain import Window


def clip_window(shape: tuple[int, int], low: Sequence[float], high: Sequence[float]) -> Window | None:
    """The pixels between two corners (x, y), clipped to an image of `shape`; None where they miss it."""
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]) + 2, shape[1]), min(int(high[1]) + 2, shape[0])
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


class Canvas:
    """Colour, height and slope of every pixel.

    Nothing here touches more than the window of the object at hand, so that the time is proportional to what is
    drawn and not to the number of objects times the size of the image.

    Attributes:
        colour: Float32 (H, W, 3), 0-1, unlit.
        height: Float32 (H, W), metres above the ground.
        slope: Float32 (H, W, 2), rise in metre per metre to the right and downwards.
    """

    def __init__(self, colour: np.ndarray) -> None:
        self.shape = colour.shape[:2]
        self.colour = colour
        self.height = np.zeros(self.shape, np.float32)
        self.slope = np.zeros((*self.shape, 2), np.float32)

    def window_around(self, points: np.ndarray, pad: float) -> Window | None:
        """The window of some points (N, 2) and `pad` pixels around them; None off the canvas."""
        return clip_window(self.shape, points.min(0) - pad, points.max(0) + pad)

    def blend(self, window: Window, colour: np.ndarray, alpha: np.ndarray) -> None:
        """Lays `colour` (3,) or (h, w, 3) over the window with opacity (h, w)."""
        view = self.colour[window]
        view += alpha[..., None] * (colour - view)

    def stand(self, window: Window, alpha: np.ndarray, height: np.ndarray, slope: np.ndarray) -> None:
        """Lets something of `height` (h, w) and `slope` (h, w, 2) stand in the window with opacity (h, w)."""
        view = self.slope[window]
        view += alpha[..., None] * (slope - view)
        top = self.height[window]
        np.maximum(top, height, out=top)


def fill(layer: np.ndarray, corners: np.ndarray, value: float) -> None:
    """Sets the pixels of a layer (H, W) within a polygon (N, 2) in fixed point."""
    cv2.fillPoly(layer, [corners], value, cv2.LINE_8, FIXED_BITS)


def polygon_mask(polygon: np.ndarray, window: Window) -> np.ndarray:
    """Coverage (h, w), 0-1, of a polygon (N, 2) within a window."""
    mask = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
    cv2.fillPoly(mask, [fixed_point(polygon, (window[1].start, window[0].start))], 255, cv2.LINE_AA, FIXED_BITS)
    return mask.astype(np.float32) / 255


def line_mask(segments: np.ndarray, window: Window) -> np.ndarray:
    """Coverage (h, w), 0-1, of 1 px wide lines (N, 2, 2) within a window."""
    mask = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
    origin = (window[1].start, window[0].start)
    cv2.polylines(mask, list(fixed_point(segments, origin)), False, 255, 1, cv2.LINE_AA, FIXED_BITS)
    return mask.astype(np.float32) / 255


def local_grid(window: Window, centre: tuple[float, float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (p, q), each float32 (h, w), along and across an object at `centre` turned by `angle`."""
    x = np.arange(window[1].start, window[1].stop, dtype=np.float32) - np.float32(centre[0])
    y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - np.float32(centre[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x
