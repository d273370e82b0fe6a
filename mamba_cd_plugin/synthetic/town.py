"""The builder of plans: puts grounds, buildings, trees and vehicles into a plan, in metres along a frame."""
import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from .buildings import outline_parts
from .frame import Frame, Rect
from .materials import CARS, MEMBRANES, METALS, SHINGLES, TILES, between, choose, pick
from .plan import Area, Box, Building, Lines, Presence, ScenePlan, Trees, Wood
from .terrain import VARIANTS

Pair = tuple[str | None, str | None]

# Order of painting; within a layer the later one lies on top.
LAYERS = ('land', 'site', 'yard', 'verge', 'road')
_ROOFS = {'shingles': SHINGLES, 'tiles': TILES, 'membrane': MEMBRANES, 'metal': METALS}
_SKINS = {'flat': 'membrane', 'metal': 'metal'}  # of the roof kinds that leave no choice
_PITCHES = {'gable': (0.35, 0.7), 'hip': (0.35, 0.65), 'metal': (0.06, 0.16), 'flat': (0.0, 0.0)}


@dataclass(frozen=True)
class Style:
    """What the buildings of a district have in common.

    Attributes:
        shapes: Weights of the outlines.
        roofs: Weights of the roof kinds, see `Building`.
        skins: Weights of the roof colours for pitched roofs.
        eaves: Lowest and highest wall in metres.
    """

    shapes: dict[str, float]
    roofs: dict[str, float]
    skins: dict[str, float]
    eaves: tuple[float, float]


class Town:
    """Collects the parts of a plan.

    Args:
        rng: Source of all randomness of the plan.
        frame: Transformation from metres to pixels.
        shape: (H, W) of the canvas; what lies wholly outside is not kept.
    """

    def __init__(self, rng: np.random.Generator, frame: Frame, shape: tuple[int, int]) -> None:
        self.rng = rng
        self.frame = frame
        self.shape = shape
        self.plan = ScenePlan(base=('meadow', 'soil'))
        self._layers: dict[str, list[tuple]] = {name: [] for name in LAYERS}  # polygon or ring, and the rest of an Area
        self._woods: list[tuple] = []
        # Outlines wait here, as numbers of points are turned into pixels hundreds of times faster all at once.
        self._rings: list[tuple[float, float]] = [(0.0, 0.0)]

    def finish(self) -> ScenePlan:
        """The plan, with its areas in the order of painting."""
        points = replace(self.frame, turned=False).to_pixels(self._rings)
        self.plan.areas[:] = [Area(points[where] if isinstance(where, slice) else where, *rest)
                              for name in LAYERS for where, *rest in self._layers[name]]
        self.plan.woods[:] = [Wood(points[where], *rest) for where, *rest in self._woods]
        return self.plan

    def _outline(self, rect: Rect) -> slice:
        """Where the outline of a rectangle will be found among all points."""
        start = len(self._rings)
        self._rings += self.frame.ring(rect)
        return slice(start, len(self._rings))

    def turned(self) -> 'Town':
        """The same town, seen with the axes turned by a quarter: for streets that run along v."""
        other = copy(self)  # shallow: both add to one plan
        other.frame = replace(self.frame, turned=not self.frame.turned)
        return other

    def in_view(self, points: np.ndarray, pad: float = 30.0) -> np.ndarray:
        """Which points (N, 2), in metres, lie on the canvas or within `pad` pixels of it: bool (N,)."""
        xy = self.frame.to_pixels(points)
        return ((xy > -pad) & (xy < np.array(self.shape[::-1]) + pad)).all(-1)

    def sees(self, u: float, v: float, pad: float = 30.0) -> bool:
        """As `in_view`, for one point."""
        x, y = self.frame.point(u, v)
        return -pad < x < self.shape[1] + pad and -pad < y < self.shape[0] + pad

    def touches_view(self, rect: Rect) -> bool:
        """Whether the circle around a rectangle in metres meets the canvas."""
        u0, v0, u1, v1 = rect
        # 1.2: the waves of the frame stretch the ground by less.
        radius = 0.6 * math.hypot(u1 - u0, v1 - v0) * self.frame.scale
        return self.sees((u0 + u1) / 2, (v0 + v1) / 2, radius + 2)

    def area(self, layer: str, rect: Rect, materials: Pair, ragged: bool = False,
             rows: tuple[float, float, float] | None = None) -> None:
        """Adds a rectangle of ground; `rows` gives the angle in the frame, the period in px and the contrast."""
        if materials == (None, None) or not self.touches_view(rect):
            return
        if rows:
            rows = (rows[0] + self.frame.heading((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2), *rows[1:])
        self._layers[layer].append((self._outline(rect), materials, ragged, int(self.rng.random() * VARIANTS), rows))

    def wood(self, rect: Rect, kind: str, density: tuple[float | None, float | None]) -> None:
        """Adds a rectangle of woods, or a clearing in those that came before."""
        if density != (None, None) and self.touches_view(rect):
            self._woods.append((self._outline(rect), kind, density))

    def disc(self, layer: str, centre: tuple[float, float], radius: float, materials: Pair,
             ragged: bool = False) -> None:
        """Adds a round piece of ground."""
        if self.touches_view((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)):
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            points = np.stack([np.cos(turn), np.sin(turn)], -1) * radius + centre
            self._layers[layer].append((self.frame.to_pixels(points), materials, ragged))

    def blob(self, layer: str, centre: tuple[float, float], radius: float, materials: Pair) -> None:
        """Adds a piece of ground of irregular shape, of about `radius` metres."""
        rng = self.rng
        if materials != (None, None) and self.sees(*centre, 1.7 * radius * self.frame.scale):
            turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
            lobes = (0.3 / n * rng.normal() * np.sin(n * turn + between(rng, 0, 6)) for n in (1, 2, 3))
            reach = radius * (1 + sum(lobes))
            stretch = np.exp(rng.normal(0, 0.3))
            points = np.stack([np.cos(turn) * reach * stretch, np.sin(turn) * reach / stretch], -1) + centre
            self._layers[layer].append((self.frame.to_pixels(points), materials, True, int(rng.random() * VARIANTS)))

    def lines(self, segments: Sequence, colour: tuple[int, int, int], opacity: float, present: Presence) -> None:
        """Adds painted lines, given as pairs of points in metres."""
        ends = np.asarray(segments, float).reshape(-1, 2, 2)
        ends = ends[self.in_view(ends.mean(1))]
        if len(ends) and any(present):
            self.plan.lines.append(Lines(self.frame.to_pixels(ends), colour, opacity, present))

    def building(self, centre: tuple[float, float], size: tuple[float, float], style: Style, present: Presence,
                 turn: float = 0.0) -> None:
        """Adds a building of `size` (along u, along v) in metres."""
        rng = self.rng
        scale, zoom = self.frame.scale, self.frame.zoom
        if not any(present) or not self.sees(*centre, max(size) * scale):
            return
        length, width = size[0] * scale, size[1] * scale
        parts = outline_parts(rng, pick(rng, style.shapes), length, width)
        roof = pick(rng, style.roofs)
        pitch = between(rng, *_PITCHES[roof])
        skin = _SKINS.get(roof) or pick(rng, style.skins)
        colour = np.array(choose(rng, _ROOFS[skin])) * between(rng, 0.9, 1.1) * rng.uniform(0.97, 1.03, 3)
        later = colour * between(rng, 0.93, 1.07)  # weathered or cleaned
        if rng.random() < 0.04:
            later = np.array(choose(rng, _ROOFS[skin])) * between(rng, 0.9, 1.1)  # a new skin on an old house
        # Heights shrink with everything else where the ground sampling is coarser, for shadows of the right length.
        self.plan.buildings.append(
            Building(self.frame.point(*centre), self.frame.heading(*centre) + turn, parts, roof,
                     between(rng, *style.eaves) * zoom, pitch,
                     (tuple(colour), tuple(later)), present, int(rng.integers(2**31))))

    def trees(self, points: np.ndarray, radius: tuple[float, float], present: np.ndarray | None = None,
              evergreen: float = 0.4, turnover: float = 0.06) -> None:
        """Adds crowns at `points` (N, 2) with radii between two bounds, all in metres.

        Args:
            points: Where they stand.
            radius: Smallest and largest.
            present: Bool (N, 2) per date, all by default.
            evergreen: Share that keeps its leaves.
            turnover: Share that is felled or planted between the dates.
        """
        rng = self.rng
        points = np.asarray(points, float).reshape(-1, 2)
        present = np.ones((len(points), 2), bool) if present is None else present
        pixels = self.frame.to_pixels(points)
        keep = ((pixels > -30) & (pixels < np.array(self.shape[::-1]) + 30)).all(-1) & present.any(1)
        pixels, present = pixels[keep], present[keep].copy()
        count = len(pixels)
        if not count:
            return
        gone = rng.random((count, 2)) < turnover / 2
        present &= ~gone
        size = rng.uniform(*radius, (count, 1)) * self.frame.scale
        size = size * rng.uniform(0.88, 1.12, (count, 2))
        self.plan.groves.append(
            Trees(pixels, size, present, rng.random(count) < evergreen,
                  rng.uniform(0.82, 1.18, count)))

    def box(self, date: int, centre: tuple[float, float], turn: float, size: tuple[float, float, float],
            colour: tuple[int, int, int], glazed: bool = False) -> None:
        """Adds a box of `size` (length, width, height) in metres, turned against the u axis."""
        if self.sees(*centre):
            scale = self.frame.scale
            self.plan.boxes[date].append(
                Box(self.frame.point(*centre), self.frame.heading(*centre) + turn, size[0] * scale, size[1] * scale,
                    size[2] * self.frame.zoom, colour, glazed))

    def car(self, date: int, centre: tuple[float, float], turn: float) -> None:
        """Adds a car, van or small lorry."""
        rng = self.rng
        if rng.random() < 0.06:
            self.box(date, centre, turn, (between(rng, 7, 9), 2.4, 3.0), choose(rng, CARS[:3]))
        else:
            self.box(date, centre, turn + rng.normal(0, 0.04), (between(rng, 4.1, 5.2), between(rng, 1.8, 2.1), 1.5),
                     choose(rng, CARS), glazed=True)

    def fence(self, present: Presence, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Adds a fence."""
        segment = self.frame.point(*start), self.frame.point(*end)
        for date in (0, 1):
            if present[date]:
                self.plan.fences[date].append(segment)
