"""The sun: shading and cast shadows."""
from dataclasses import dataclass

import cv2
import numpy as np

from .plan import PIXELS_PER_METRE

# Height in metres over which a shadow's edge fades: the sun is not a point and the pixel is not either. Less than the
# slack does not count as an obstacle, as a height map with whole pixels has steps on smooth slopes.
_PENUMBRA, _SLACK = 0.6, 0.2


@dataclass(frozen=True)
class Sun:
    """Where the light comes from.

    Attributes:
        towards: (x, y) unit vector in the picture that points to the sun.
        elevation: Above the horizon, rad.
        ambient: Share of the light on level ground that comes from the sky.
    """

    towards: tuple[float, float]
    elevation: float
    ambient: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> 'Sun':
        """Draws a sun of a late morning or early afternoon on the northern hemisphere."""
        azimuth = np.pi / 2 + rng.uniform(-1.1, 1.1)  # from the lower edge of the picture, give or take 63 degrees
        return cls((float(np.cos(azimuth)), float(np.sin(azimuth))), float(np.radians(rng.uniform(34, 66))),
                   rng.uniform(0.22, 0.5))

    def exposure(self, slope_x: np.ndarray, slope_y: np.ndarray) -> np.ndarray:
        """Direct light on a surface that rises by `slope_x`, `slope_y` (metre per metre), relative to level ground."""
        reach = 1 / np.tan(self.elevation)
        light = 1 - slope_x * np.float32(reach * self.towards[0])
        light -= slope_y * np.float32(reach * self.towards[1])
        steepness = slope_x * slope_x
        steepness += slope_y * slope_y
        steepness += 1
        light /= np.sqrt(steepness)
        return np.clip(light, 0.15, 1.55, out=light)


def cast_shadows(height: np.ndarray, sun: Sun) -> np.ndarray:
    """Where a height map (H, W) in metres shades itself: float32 (H, W), 0 lit to 1 in full shadow.

    A point is in shadow when something on the way to the sun reaches above the ray. The highest obstacle within
    2^k steps follows from the one within 2^(k-1) steps, so that long shadows cost only a few passes.
    """
    rows, columns = height.shape
    drop = np.tan(sun.elevation) / PIXELS_PER_METRE
    horizon = height.copy()
    reach, step = height.max() / drop, 1
    while step <= reach:
        shift = np.float32([[1, 0, -step * sun.towards[0]], [0, 1, -step * sun.towards[1]]])
        moved = cv2.warpAffine(horizon, shift, (columns, rows), flags=cv2.INTER_LINEAR)
        moved -= np.float32(step * drop)
        np.maximum(horizon, moved, out=horizon)
        step *= 2
    horizon -= height
    horizon -= _SLACK
    return np.clip(horizon / _PENUMBRA, 0, 1, out=horizon)


def illuminate(colour: np.ndarray, height: np.ndarray, slope: np.ndarray, sun: Sun) -> np.ndarray:
    """Lights a scene in place: colour (H, W, 3), height (H, W) in metres, slope (H, W, 2); returns `colour`."""
    direct = sun.exposure(*cv2.split(slope))
    direct *= (1 - sun.ambient) * (1 - cast_shadows(height, sun))
    # The sky that lights the shadows is bluer than the sun.
    colour *= cv2.merge([direct + np.float32(sun.ambient * sky) for sky in (0.92, 1.0, 1.12)])
    return colour
