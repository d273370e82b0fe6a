"""Ground texture: multi-octave noise and what materials look like through it."""
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from .materials import MATERIALS, as_colour

Window = tuple[slice, slice]

# Tones of one material side by side, e.g. of neighbouring lawns: enough that two plots are seldom alike.
VARIANTS = 8
MATERIAL_IDS = {name: i * VARIANTS for i, name in enumerate(MATERIALS)}
# Side of the noise fields that are computed once and cut at random places; larger pictures compute their own.
_LIBRARY = 1024


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


@cache
def _library(cell: float, octaves: int) -> np.ndarray:
    seed = np.random.default_rng((int(10 * cell), octaves))
    return fractal_noise(seed, (_LIBRARY, _LIBRARY), cell, octaves)


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int) -> np.ndarray:
    """As :func:`fractal_noise`, cut from a stored field at a random place and turned: a twentieth of the time."""
    if max(shape) > _LIBRARY // 2:
        return fractal_noise(rng, shape, cell, octaves)
    field = _library(cell, octaves)
    y, x = (int(rng.integers(0, _LIBRARY - side + 1)) for side in shape)
    cut = field[y:y + shape[0], x:x + shape[1]]
    way = int(rng.integers(4))
    return np.ascontiguousarray(cut[::1 - 2 * (way & 1), ::1 - (way & 2)])


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
        return cls(noise(rng, shape, 1.6, 2), noise(rng, shape, 24, 4), noise(rng, shape, 140, 2),
                   noise(rng, shape, 60, 3))

    def weathered(self, rng: np.random.Generator, amount: float) -> 'Relief':
        """The same place at another time: every field drifts by the share `amount` of its amplitude."""
        new = Relief.random(rng, self.patch.shape)
        return Relief(*(cv2.addWeighted(getattr(self, name), np.sqrt(1 - amount**2), getattr(new, name), amount, 0)
                        for name in ('grain', 'patch', 'broad', 'tint')))


@dataclass(frozen=True)
class Season:
    """How the ground looks at one date.

    Attributes:
        greenness: 0 (dry, leafless) to 1 (lush).
        moisture: 0 (dry, bright soil) to 1 (wet, dark soil).
        gains: (materials * VARIANTS, 3) RGB factors that make e.g. this year's asphalt a little bluer.
        roughness: Factor of all texture.
    """

    greenness: float
    moisture: float
    gains: np.ndarray
    roughness: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> 'Season':
        """Draws a season."""
        count = len(MATERIALS)
        common = np.exp(rng.normal(0, 0.11, (count, 1, 1))) * np.exp(rng.normal(0, 0.03, (count, 1, 3)))
        single = np.exp(rng.normal(0, 0.06, (count, VARIANTS, 1))) * np.exp(rng.normal(0, 0.012, (count, VARIANTS, 3)))
        return cls(rng.random()**1.3, rng.random(), (common * single).reshape(-1, 3).astype(np.float32),
                   rng.uniform(0.4, 1.4))


def ground_texture(ids: np.ndarray, relief: Relief, season: Season) -> np.ndarray:
    """What the grounds look like: float32 (H, W, 3) in 0-1.

    Args:
        ids: Uint8 (H, W) of ``MATERIAL_IDS[name] + variant``.
        relief: Fields of the same size.
        season: State of vegetation and soil.
    """
    materials = [m for m in MATERIALS.values() for _ in range(VARIANTS)]
    triple = cv2.merge([ids] * 3)

    def per_pixel(values: list) -> np.ndarray:
        table = np.zeros((256, *np.shape(values)[1:]), np.float32)
        table[:len(values)] = values
        return cv2.LUT(ids if table.ndim == 1 else triple, table if table.ndim == 1 else table[None])

    dry = np.stack([as_colour(m.dry) for m in materials]) * season.gains
    lush = np.stack([as_colour(m.lush) for m in materials]) * season.gains
    blend = per_pixel([0.17 if m.vegetated else 0.12 for m in materials])  # in units of the way from dry to lush
    blend *= relief.tint
    blend += per_pixel([season.greenness if m.vegetated else season.moisture for m in materials])
    np.clip(blend, 0, 1, out=blend)
    brightness = per_pixel([m.grain * season.roughness for m in materials]) * relief.grain
    brightness += per_pixel([m.patch * season.roughness for m in materials]) * relief.patch
    brightness += per_pixel([m.broad * season.roughness for m in materials]) * relief.broad
    brightness += 1
    np.maximum(brightness, 0.2, out=brightness)
    texture = per_pixel(lush - dry)
    texture *= cv2.merge([blend] * 3)
    texture += per_pixel(dry)
    texture *= cv2.merge([brightness] * 3)
    return texture
