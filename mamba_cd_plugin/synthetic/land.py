"""The blocks of land between main roads, and what grows on them by itself."""
from dataclasses import dataclass, field

import numpy as np

from .canopy import KINDS
from .frame import Rect
from .growth import Growth
from .materials import between, choose, pick
from .plan import Presence
from .town import Town

# Densities of (shrubs, trees) of the land covers, each between two bounds.
_WOODS = {
    'meadow': ((0.0, 0.04), (0.0, 0.04)),
    'forest': ((0.2, 0.7), (0.6, 1.0)),
    'scrub': ((0.3, 0.8), (0.0, 0.2)),
    'savanna': ((0.05, 0.3), (0.03, 0.3)),
    'field': ((0.0, 0.0), (0.0, 0.0)),
    'bare': ((0.0, 0.03), (0.0, 0.01)),
}
_FLOORS = {'meadow': (None, 'meadow', 'hay'), 'forest': ('forest_floor', 'scrub'), 'scrub': ('scrub', 'meadow'),
           'savanna': ('soil', 'hay', 'meadow', 'site'), 'field': ('crop', 'ploughed', 'meadow'),
           'bare': ('soil', 'site', 'dirt')}
_PATCHES = {None: 0.35, 'soil': 0.15, 'dirt': 0.12, 'meadow': 0.12, 'hay': 0.1, 'scrub': 0.08, 'site': 0.08}


@dataclass
class Block:
    """The land between main roads.

    Attributes:
        rect: (u0, v0, u1, v1) in metres.
        growth: Growth between the dates.
        leafy: Density of the trees that stand between and over the houses.
        clearings: Rectangles without wild trees, and whether that holds at each date.
    """

    rect: Rect
    growth: Growth
    leafy: float = 0.0
    clearings: list[tuple[Rect, Presence]] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Extent along u and v."""
        return self.rect[2] - self.rect[0], self.rect[3] - self.rect[1]


def cover_land(town: Town, block: Block, levelled: bool) -> None:
    """Paints the open land of a block and plants its wild trees outside the clearings.

    Args:
        town: Where it lies.
        block: The land.
        levelled: Whether earth works have taken all of it at date B.
    """
    rng, growth = town.rng, block.growth
    floor = choose(rng, _FLOORS[growth.cover])
    later: str | None = floor
    if levelled:
        later = choose(rng, ('soil', 'site', 'dirt'))
    elif rng.random() < 0.15:
        later = choose(rng, ('meadow', 'hay', 'soil', 'crop', 'ploughed'))  # the land is used otherwise
    rows = (0.0, between(rng, 3, 6), between(rng, 0.02, 0.08)) if growth.cover == 'field' else None
    town.area('land', block.rect, (floor, later), ragged=True, rows=rows)
    scatter_patches(town, block.rect, rng.poisson(2), levelled)

    for kind, bounds in zip(KINDS, _WOODS[growth.cover]):
        before = max(between(rng, *bounds), block.leafy if kind == 'tree' else 0.0)
        after = between(rng, 0, 0.05) if levelled else before * between(rng, 0.8, 1.2)
        if block.leafy and kind == 'tree':
            after = max(after, block.leafy)
        if max(before, after) < 0.005:
            continue
        town.wood(block.rect, kind, (min(before, 1.0), min(after, 1.0)))
        for rect, dates in block.clearings:
            town.wood(rect, kind, (0.0 if dates[0] else None, 0.0 if dates[1] else None))


def scatter_patches(town: Town, rect: Rect, count: int, levelled: bool = False) -> None:
    """Lays pieces of other grounds on open land, which come, go or stay between the dates."""
    rng = town.rng
    for _ in range(count):
        centre = rng.uniform(rect[0], rect[2]), rng.uniform(rect[1], rect[3])
        before = pick(rng, _PATCHES)
        after = pick(rng, _PATCHES) if levelled or rng.random() < 0.5 else before
        town.blob('land', centre, np.exp(rng.normal(2.6, 0.6)), (before, after))
