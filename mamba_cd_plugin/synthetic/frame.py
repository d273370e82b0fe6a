"""From the straight world of the town planner to the curved one of the picture."""
from dataclasses import dataclass

import numpy as np

from .plan import PIXELS_PER_METRE

Rect = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """Maps planning coordinates (u, v) in metres to canvas pixels: a rotation and two gentle sine waves per axis.

    Streets that are straight in (u, v) thereby become curved in the picture, and everything along them follows.

    Attributes:
        angle: Rotation, rad.
        centre: Canvas pixel (x, y) at which (0, 0) lies, but for the waves.
        waves: (4, 4) rows (amplitude in m, wave vector u, wave vector v in rad/m, phase), two for each axis.
        turned: Whether the axes are turned by a quarter, so that (u, v) stands for (-v, u): for what runs across.
    """

    angle: float
    centre: tuple[float, float]
    waves: np.ndarray
    turned: bool = False

    @classmethod
    def random(cls, rng: np.random.Generator, shape: tuple[int, int], bend: float) -> 'Frame':
        """Draws a frame; `bend` is the largest slope that the waves give to a street."""
        length = rng.uniform(150, 420, 4)
        heading = rng.uniform(0, 2 * np.pi, 4)
        wave = 2 * np.pi / length
        waves = np.stack(
            [bend / 2 / wave, wave * np.cos(heading), wave * np.sin(heading), rng.uniform(0, 2 * np.pi, 4)], 1)
        return cls(rng.uniform(0, 2 * np.pi), (shape[1] / 2, shape[0] / 2), waves)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) metres to (..., 2) pixels."""
        points = np.asarray(points, float)
        u, v = points[..., 0], points[..., 1]
        if self.turned:
            u, v = -v, u
        amplitude, wave_u, wave_v, phase = self.waves.T
        shift = amplitude * np.sin(u[..., None] * wave_u + v[..., None] * wave_v + phase)
        u = u + shift[..., 0] + shift[..., 1]
        v = v + shift[..., 2] + shift[..., 3]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        x, y = cos * u - sin * v, sin * u + cos * v
        return np.stack([x * PIXELS_PER_METRE + self.centre[0], y * PIXELS_PER_METRE + self.centre[1]], -1)

    def heading(self, u: float, v: float) -> float:
        """Direction of the u axis in the picture at (u, v), rad."""
        before, after = self.to_pixels([(u - 2, v), (u + 2, v)])
        return float(np.arctan2(after[1] - before[1], after[0] - before[0]))

    def bounds(self, shape: tuple[int, int]) -> Rect:
        """(u0, v0, u1, v1) that surely covers a canvas of `shape`."""
        height, width = shape
        corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], float) - self.centre
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u = (cos * corners[:, 0] + sin * corners[:, 1]) / PIXELS_PER_METRE
        v = (-sin * corners[:, 0] + cos * corners[:, 1]) / PIXELS_PER_METRE
        reach_u, reach_v = self.waves[:2, 0].sum(), self.waves[2:, 0].sum()
        return u.min() - reach_u, v.min() - reach_v, u.max() + reach_u, v.max() + reach_v

    def outline(self, rect: Rect, step: float = 12.0) -> np.ndarray:
        """Polygon (N, 2) in pixels of a rectangle (u0, v0, u1, v1), with a point every `step` metres."""
        u0, v0, u1, v1 = rect
        along_u = np.linspace(u0, u1, max(int(abs(u1 - u0) / step), 1) + 1)
        along_v = np.linspace(v0, v1, max(int(abs(v1 - v0) / step), 1) + 1)
        ring = [(u, v0) for u in along_u[:-1]] + [(u1, v) for v in along_v[:-1]]
        ring += [(u, v1) for u in along_u[:0:-1]] + [(u0, v) for v in along_v[:0:-1]]
        return self.to_pixels(ring)
