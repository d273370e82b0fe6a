"""Sun and sensor: shading, cast shadows, and what the camera and the air make of the picture."""
from dataclasses import dataclass

import cv2
import numpy as np

from .plan import PIXELS_PER_METRE
from .terrain import fractal_noise

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
        return cls((float(np.cos(azimuth)), float(np.sin(azimuth))), float(np.radians(rng.uniform(40, 62))),
                   rng.uniform(0.3, 0.48))

    def exposure(self, slope_x: np.ndarray, slope_y: np.ndarray) -> np.ndarray:
        """Direct light on a surface that rises by `slope_x`, `slope_y` (metre per metre), relative to level ground."""
        against = (slope_x * self.towards[0] + slope_y * self.towards[1]) / np.tan(self.elevation)
        return np.clip((1 - against) / np.sqrt(1 + slope_x**2 + slope_y**2), 0.15, 1.55)


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


def illuminate(colour: np.ndarray, height: np.ndarray, exposure: np.ndarray, sun: Sun) -> np.ndarray:
    """Lights a scene in place: colour (H, W, 3), height and exposure (H, W); returns `colour`."""
    direct = (1 - sun.ambient) * exposure * (1 - cast_shadows(height, sun))
    # The sky that lights the shadows is bluer than the sun.
    for channel, sky in enumerate((0.92, 1.0, 1.12)):
        colour[..., channel] *= direct + np.float32(sun.ambient * sky)
    return colour


@dataclass(frozen=True)
class Sensor:
    """What happens between the ground and the file.

    Attributes:
        gain: RGB factors: exposure time and colour cast.
        saturation: 1 keeps the colours, 0 is grey.
        gamma: Above 1 darkens the middle tones.
        contrast: Around the middle grey.
        haze: Share of air light.
        veil: Relative amplitude of slow brightness variation over the picture.
        blur: Gaussian sigma in px.
        noise: Standard deviation, 0-1 scale.
    """

    gain: np.ndarray
    saturation: float
    gamma: float
    contrast: float
    haze: float
    veil: float
    blur: float
    noise: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> 'Sensor':
        """Draws a camera and a day."""
        warmth, green = rng.uniform(-0.06, 0.06), rng.uniform(-0.015, 0.02)
        gain = rng.uniform(0.9, 1.2) * np.array((1 + warmth, 1 + green, 1 - warmth))
        return cls(
            gain=gain.astype(np.float32),
            saturation=rng.uniform(0.7, 1.0),
            gamma=rng.uniform(0.95, 1.2),
            contrast=rng.uniform(0.95, 1.25),
            haze=rng.uniform(0, 0.1),
            veil=rng.uniform(0, 0.04),
            blur=rng.uniform(0.45, 0.75),
            noise=rng.uniform(0.006, 0.018))

    def expose(self, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turns a lit scene, float32 (H, W, 3), into an image, uint8 (H, W, 3); `colour` is used up."""
        shape = colour.shape[:2]
        colour *= self.gain
        grey = colour.mean(-1, keepdims=True)
        colour -= grey
        colour *= np.float32(self.saturation)
        colour += grey
        colour *= 1 + self.veil * fractal_noise(rng, shape, 200, 1)[..., None]
        np.clip(colour, 0, None, out=colour)
        cv2.pow(colour, self.gamma, dst=colour)
        colour -= 0.45
        colour *= self.contrast * (1 - self.haze)
        colour += 0.45 * (1 - self.haze)
        colour += self.haze * np.float32([0.62, 0.66, 0.70])
        colour = cv2.GaussianBlur(colour, (0, 0), self.blur)
        # Most of the noise is common to the channels, as after demosaicing.
        colour += np.float32(0.8 * self.noise) * rng.standard_normal((*shape, 1), np.float32)
        colour += np.float32(0.6 * self.noise) * rng.standard_normal((*shape, 3), np.float32)
        colour *= 255
        np.clip(colour, 0, 255, out=colour)
        return (colour + 0.5).astype(np.uint8)
