"""The map from planning coordinates in metres to pixels of the picture."""
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .plan import PIXELS_PER_METRE

Rect = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """Maps planning coordinates (u, v) in metres to canvas pixels: a rotation and a gentle sine wave per axis.

    Streets that are straight in (u, v) thereby become curved in the picture, and everything along them follows.

    Attributes:
        angle: Rotation, rad.
        centre: Canvas pixel (x, y) at which (0, 0) lies, but for the waves.
        waves: (2, 4) rows (amplitude in m, wave vector u, wave vector v in rad/m, phase), one for each axis.
        zoom: Pixels per planned pixel of 0.5 m: above 1 the ground sampling is finer.
        turned: Whether the axes are turned by a quarter, so that (u, v) stands for (-v, u): for what runs across.
    """

    angle: float
    centre: tuple[float, float]
    waves: np.ndarray
    zoom: float = 1.0
    turned: bool = False

    @property
    def scale(self) -> float:
        """Pixels per metre."""
        return PIXELS_PER_METRE * self.zoom

    @classmethod
    def random(cls, rng: np.random.Generator, shape: tuple[int, int], bend: float,
               zoom: float = 1.0) -> 'Frame':
        """Draws a frame; `bend` is the largest slope that the waves give to a street."""
        length = rng.uniform(150, 420, 2)
        heading = rng.uniform(0, 2 * np.pi, 2)
        wave = 2 * np.pi / length
        waves = np.stack(
            [bend / wave, wave * np.cos(heading), wave * np.sin(heading), rng.uniform(0, 2 * np.pi, 2)], 1)
        return cls(rng.uniform(0, 2 * np.pi), (shape[1] / 2, shape[0] / 2), waves, zoom)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) metres to (..., 2) pixels."""
        points = np.asarray(points, float)
        u, v = points[..., 0], points[..., 1]
        if self.turned:
            u, v = -v, u
        (a0, u0, v0, p0), (a1, u1, v1, p1) = self._waves
        return self._rotate(u + a0 * np.sin(u * u0 + v * v0 + p0), v + a1 * np.sin(u * u1 + v * v1 + p1))

    @cached_property
    def _waves(self) -> list[list[float]]:
        return self.waves.tolist()

    @cached_property
    def _turn(self) -> tuple[float, float]:
        return math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale

    def _rotate(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        cos, sin = self._turn
        out = np.empty((*np.shape(u), 2))
        out[..., 0] = cos * u - sin * v + self.centre[0]
        out[..., 1] = sin * u + cos * v + self.centre[1]
        return out

    def point(self, u: float, v: float) -> tuple[float, float]:
        """As `to_pixels`, for one point, without the cost of arrays."""
        if self.turned:
            u, v = -v, u
        (a0, u0, v0, p0), (a1, u1, v1, p1) = self._waves
        moved_u, moved_v = u + a0 * math.sin(u * u0 + v * v0 + p0), v + a1 * math.sin(u * u1 + v * v1 + p1)
        cos, sin = self._turn
        return cos * moved_u - sin * moved_v + self.centre[0], sin * moved_u + cos * moved_v + self.centre[1]

    def heading(self, u: float, v: float) -> float:
        """Direction of the u axis in the picture at (u, v), rad."""
        (x0, y0), (x1, y1) = self.point(u - 2, v), self.point(u + 2, v)
        return math.atan2(y1 - y0, x1 - x0)

    def bounds(self, shape: tuple[int, int]) -> Rect:
        """(u0, v0, u1, v1) that surely covers a canvas of `shape`."""
        height, width = shape
        corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], float) - self.centre
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u = (cos * corners[:, 0] + sin * corners[:, 1]) / self.scale
        v = (-sin * corners[:, 0] + cos * corners[:, 1]) / self.scale
        reach_u, reach_v = self.waves[:, 0]
        return u.min() - reach_u, v.min() - reach_v, u.max() + reach_u, v.max() + reach_v

    def ring(self, rect: Rect, step: float = 16.0) -> list[tuple[float, float]]:
        """Corners of a rectangle (u0, v0, u1, v1) and a point every `step` metres between them, before the turn."""
        u0, v0, u1, v1 = rect
        columns, rows = int(abs(u1 - u0) / step) + 1, int(abs(v1 - v0) / step) + 1
        along_u = [u0 + (u1 - u0) * i / columns for i in range(columns + 1)]
        along_v = [v0 + (v1 - v0) * i / rows for i in range(rows + 1)]
        ring = [(u, v0) for u in along_u[:-1]] + [(u1, v) for v in along_v[:-1]]
        ring += [(u, v1) for u in along_u[:0:-1]] + [(u0, v) for v in along_v[:0:-1]]
        return [(-v, u) for u, v in ring] if self.turned else ring
