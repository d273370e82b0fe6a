"""What stands where at which date: the description of a scene that the renderer draws.

Coordinates are pixels (x right, y down) of the canvas, heights are metres. ``PerDate`` values are (date A, date B).
"""
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

PIXELS_PER_METRE = 2.0  # LEVIR-CD: 0.5 m per pixel

FIXED_BITS = 4

Presence = tuple[bool, bool]


def fixed_point(points: np.ndarray, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Coordinates (..., 2) as OpenCV draws them, in 1/2^FIXED_BITS px relative to `origin` (x, y)."""
    return np.rint((np.asarray(points) - origin) * (1 << FIXED_BITS)).astype(np.int32)


@dataclass(frozen=True)
class Area:
    """A piece of ground.

    Attributes:
        polygon: (N, 2).
        materials: Material per date; None leaves what lies below.
        ragged: Whether its border is frayed, as that of grass and soil; all ragged areas lie below the sharp ones.
        variant: Tone of the material, 0 to VARIANTS - 1.
        rows: (angle in rad, period in px, contrast) of plough or crop rows.
    """

    polygon: np.ndarray
    materials: tuple[str | None, str | None]
    ragged: bool = False
    variant: int = 0
    rows: tuple[float, float, float] | None = None

    @cached_property
    def corners(self) -> np.ndarray:
        """The polygon for OpenCV."""
        return fixed_point(self.polygon)


@dataclass(frozen=True)
class Wood:
    """A piece of ground with crowns on it, or, at density 0, a clearing in the woods that come before it.

    Attributes:
        polygon: (N, 2).
        kind: 'shrub' or 'tree'.
        density: Density per date, 0 to 1; None leaves what is there.
    """

    polygon: np.ndarray
    kind: str
    density: tuple[float | None, float | None]

    @cached_property
    def corners(self) -> np.ndarray:
        """The polygon for OpenCV."""
        return fixed_point(self.polygon)


@dataclass(frozen=True)
class Lines:
    """Thin painted lines: lane marks, parking stalls, wheel tracks.

    Attributes:
        segments: (N, 2, 2), N lines of two points.
        colour: RGB, 0-255.
        opacity: 0 to 1; lines are thinner than a pixel.
        present: Whether it is there, per date.
    """

    segments: np.ndarray
    colour: tuple[int, int, int]
    opacity: float
    present: Presence


@dataclass(frozen=True)
class Building:
    """A building whose outline is a union of rectangles.

    Attributes:
        centre: (x, y).
        angle: Angle of the local p axis against x, in radians.
        parts: (M, 4) rectangles (centre p, centre q, half length, half width) in local pixels.
        roof: 'gable', 'hip', 'flat' or 'metal'.
        eaves: Height of the walls in metres.
        pitch: Slope of the roof (rise over run), 0 for flat ones.
        colours: RGB 0-255, per date.
        present: Whether it is there, per date.
        detail: Seed of the small things on the roof.
    """

    centre: tuple[float, float]
    angle: float
    parts: np.ndarray
    roof: str
    eaves: float
    pitch: float
    colours: tuple[tuple[float, ...], tuple[float, ...]]
    present: Presence
    detail: int

    @property
    def changed(self) -> bool:
        """Whether it is there at exactly one date."""
        return self.present[0] != self.present[1]


@dataclass(frozen=True)
class Box:
    """A vehicle, container or shed: an oriented box.

    Attributes:
        centre: (x, y).
        angle: Angle of the long side against x, in radians.
        length, width: Pixels.
        height: Metres.
        colour: RGB, 0-255.
        glazed: Whether it has a windscreen.
    """

    centre: tuple[float, float]
    angle: float
    length: float
    width: float
    height: float
    colour: tuple[int, int, int]
    glazed: bool = False


@dataclass
class Trees:
    """Tree crowns and shrubs, as columns of N.

    Attributes:
        position: (N, 2).
        radius: (N, 2) pixels, per date.
        present: (N, 2) bool, per date.
        evergreen: (N,) bool.
        tint: (N,) brightness factor.
    """

    position: np.ndarray
    radius: np.ndarray
    present: np.ndarray
    evergreen: np.ndarray
    tint: np.ndarray

    @classmethod
    def concatenate(cls, chunks: list['Trees']) -> 'Trees':
        """All trees of several groves."""
        columns = [column.name for column in fields(cls)]
        empty = cls(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2), bool), np.zeros(0, bool), np.zeros(0))
        return cls(*(np.concatenate([getattr(t, name) for t in [empty, *chunks]]) for name in columns))


@dataclass
class ScenePlan:
    """A scene at both dates.

    The order of `areas` and of `woods` is the order of painting. `boxes` and `fences` (of two points each) are those of
    date A and of date B.
    """

    base: tuple[str, str]
    seed: int = 0  # of the woods
    areas: list[Area] = field(default_factory=list)
    woods: list[Wood] = field(default_factory=list)
    lines: list[Lines] = field(default_factory=list)
    boxes: tuple[list[Box], list[Box]] = field(default_factory=lambda: ([], []))
    fences: tuple[list[tuple], list[tuple]] = field(default_factory=lambda: ([], []))
    buildings: list[Building] = field(default_factory=list)
    groves: list[Trees] = field(default_factory=list)

    def without_nuisances(self) -> 'ScenePlan':
        """The same scene where nothing but buildings differs between the dates."""
        groves = [
            replace(g, radius=g.radius[:, [0, 0]], present=np.repeat(g.present.all(1, keepdims=True), 2, 1))
            for g in self.groves
        ]
        return ScenePlan(
            self.base,
            self.seed,
            [replace(area, materials=(area.materials[0], area.materials[0])) for area in self.areas],
            # What is cleared at one date is cleared at both, so that no new house stands in the wood of date A.
            [replace(wood, density=(min(d for d in wood.density if d is not None), ) * 2) for wood in self.woods],
            [replace(line, present=(line.present[0], line.present[0])) for line in self.lines],
            (self.boxes[0], self.boxes[0]),
            (self.fences[0], self.fences[0]),
            [replace(b, colours=(b.colours[0], b.colours[0])) for b in self.buildings],
            groves,
        )
