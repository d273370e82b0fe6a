"""The blocks of land between main roads, and what grows on them by itself."""
from dataclasses import dataclass, field

import numpy as np

from .frame import Rect
from .growth import Growth
from .materials import choose
from .plan import Presence
from .town import Town

# Crowns per square metre and radii in metres of the land covers.
_WOODS = {
    'meadow': (0.0016, (1.2, 3.2)),
    'forest': (0.05, (1.8, 4.2)),
    'scrub': (0.022, (0.7, 2.4)),
    'bare': (0.001, (0.8, 2)),
}
_FLOORS = {'meadow': None, 'forest': 'forest_floor', 'scrub': 'scrub', 'field': 'crop', 'bare': 'soil'}


@dataclass
class Block:
    """The land between main roads.

    Attributes:
        rect: (u0, v0, u1, v1) in metres.
        growth: How it changes.
        clearings: Rectangles without wild trees, and whether that holds at each date.
    """

    rect: Rect
    growth: Growth
    clearings: list[tuple[Rect, Presence]] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Extent along u and v."""
        return self.rect[2] - self.rect[0], self.rect[3] - self.rect[1]


def cover_land(town: Town, block: Block) -> None:
    """Paints the open land of a block and plants its wild trees outside the clearings."""
    rng, growth = town.rng, block.growth
    floor = _FLOORS[growth.cover]
    levelled = growth.raw and rng.random() < 0.5  # earth works take the whole block
    later = choose(rng, ('soil', 'site')) if levelled else floor
    rows = (0.0, rng.uniform(3, 6), 0.05) if growth.cover == 'field' else None
    town.area('land', block.rect, (floor, later), ragged=3, rows=rows)
    if growth.cover not in _WOODS:
        return
    density, radius = _WOODS[growth.cover]
    length, depth = block.size
    points = rng.uniform(block.rect[:2], block.rect[2:], (rng.poisson(density * length * depth), 2))
    points = points[town.in_view(points)]
    # Woods have glades: whole neighbourhoods of trees are missing.
    wave = np.sin(points[:, 0] / 13 + np.sin(points[:, 1] / 17)) + np.sin(points[:, 1] / 11 + rng.uniform(0, 6))
    points = points[wave + rng.normal(0, 0.5, len(points)) > -0.9]
    present = np.ones((len(points), 2), bool)
    if levelled:
        present[:, 1] = rng.random(len(points)) < 0.08
    for (u0, v0, u1, v1), dates in block.clearings:
        inside = ((points > (u0 - 1, v0 - 1)) & (points < (u1 + 1, v1 + 1))).all(1)
        present[inside] &= ~np.array(dates)
    town.trees(points, radius, present, evergreen=rng.uniform(0.2, 0.9))
