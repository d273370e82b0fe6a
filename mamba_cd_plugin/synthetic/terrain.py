"""Ground texture: multi-octave noise and what materials look like through it."""
from dataclasses import dataclass

import cv2
import numpy as np

from .materials import MATERIALS, as_colour

Window = tuple[slice, slice]


def fractal_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 4) -> np.ndarray:
    """Smooth noise: white noise on grids of `cell`, `cell`/2, ... pixels, enlarged and summed with halving weights.

    Args:
        rng: Source of randomness.
        shape: (H, W) of the result.
        cell: Size in pixels of the largest blobs.
        octaves: Number of grids.

    Returns:
        Float32 (H, W), zero mean and unit variance over an unbounded area.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    power = 0.0
    for octave in range(octaves):
        size = cell / 2**octave
        grid = rng.standard_normal((int(height / size) + 2, int(width / size) + 2), np.float32)
        weight = 0.5**octave
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        power += weight**2
    # Cubic enlargement leaves about half of the variance of white noise (0.7 squared).
    return total / np.float32(0.7 * np.sqrt(power))


@dataclass
class Relief:
    """The noise fields that all grounds of one image share, each float32 (H, W) with unit variance.

    Attributes:
        grain: Pixel-size texture.
        patch: Tufts, puddles, wear: about 3 to 25 px.
        broad: Slow variation over some 100 px.
        tint: Where vegetation is greener and soil is wetter.
    """

    grain: np.ndarray
    patch: np.ndarray
    broad: np.ndarray
    tint: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, shape: tuple[int, int]) -> 'Relief':
        """Draws the fields of a new place."""
        return cls(
            fractal_noise(rng, shape, 2.5, 2), fractal_noise(rng, shape, 24, 4), fractal_noise(rng, shape, 140, 2),
            fractal_noise(rng, shape, 60, 3))

    def weathered(self, rng: np.random.Generator, amount: float) -> 'Relief':
        """The same place at another time: patch and tint drift by the share `amount`, the rest stays."""
        shape = self.patch.shape
        keep = np.float32(np.sqrt(1 - amount**2))
        return Relief(self.grain, keep * self.patch + amount * fractal_noise(rng, shape, 24, 3), self.broad,
                      keep * self.tint + amount * fractal_noise(rng, shape, 60, 2))


@dataclass(frozen=True)
class Season:
    """How the ground looks at one date.

    Attributes:
        greenness: 0 (dry, leafless) to 1 (lush).
        moisture: 0 (dry, bright soil) to 1 (wet, dark soil).
        gains: Per material, RGB factors that make e.g. this year's asphalt a little bluer.
    """

    greenness: float
    moisture: float
    gains: dict[str, np.ndarray]

    @classmethod
    def random(cls, rng: np.random.Generator) -> 'Season':
        """Draws a season."""
        gains = {
            name: (rng.uniform(0.92, 1.08) * rng.uniform(0.98, 1.02, 3)).astype(np.float32)
            for name in MATERIALS
        }
        return cls(rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0), gains)


def ground_texture(name: str, relief: Relief, season: Season, window: Window) -> np.ndarray:
    """What the material `name` looks like within a window: float32 (h, w, 3) in 0-1."""
    material = MATERIALS[name]
    level = season.greenness if material.vegetated else season.moisture
    spread = 0.17 if material.vegetated else 0.12  # in units of the way from dry to lush
    blend = np.clip(level + spread * relief.tint[window], 0, 1)[..., None]
    brightness = (
        1 + material.grain * relief.grain[window] + material.patch * relief.patch[window] +
        material.broad * relief.broad[window])
    gain = season.gains[name]
    dry, lush = as_colour(material.dry) * gain, as_colour(material.lush) * gain
    texture = blend * (lush - dry)
    texture += dry
    texture *= brightness[..., None]
    return texture
