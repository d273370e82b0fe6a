"""Main roads, side streets and parking rows, with their marks and vehicles."""
import numpy as np

from .frame import Rect
from .land import Block
from .materials import between, choose, pick
from .plan import Presence
from .town import Pair, Town

STREET = 7.5  # metres from kerb to kerb
MAIN_ROAD = 11.0
# Metres; pieces out of view are not kept.
_PIECE = 45.0
_WHITE = (232, 232, 226)
_YELLOW = (214, 178, 84)


def _strip(town: Town, layer: str, span: tuple[float, float], centre: float, width: float, surfaces: Pair) -> None:
    """A road surface along u from span[0] to span[1]."""
    count = max(int((span[1] - span[0]) / _PIECE), 1)
    stops = np.linspace(*span, count + 1)
    for start, end in zip(stops[:-1], stops[1:]):
        # One decimetre of overlap hides the seam.
        town.area(layer, (start - 0.1, centre - width / 2, end + 0.1, centre + width / 2), surfaces)


def _dashes(start: float, end: float, across: float, length: float, gap: float) -> np.ndarray:
    """Dashed line along u: (N, 2, 2)."""
    first = start + (length + gap) * np.arange(int((end - start) / (length + gap)))
    return np.stack([np.stack([first, np.full_like(first, across)], -1),
                     np.stack([first + length, np.full_like(first, across)], -1)], 1)


def _traffic(town: Town, span: tuple[float, float], centre: float, width: float, spacing: float,
             dates: Presence) -> None:
    """Moving and parked cars, other ones at each date."""
    rng = town.rng
    for date in (0, 1):
        count = rng.poisson((span[1] - span[0]) / spacing) if dates[date] else 0
        lanes = rng.choice((-1, 1), count) * width * rng.uniform(0.2, 0.34, count)
        places = np.stack([rng.uniform(*span, count), centre + lanes], -1)
        for u, v in places[town.in_view(places)]:
            town.car(date, (u, v), 0.0 if v < centre else np.pi)


def _resurfaced(rng: np.random.Generator) -> Pair:
    """Surfaces of an existing road: mostly the same, sometimes renewed."""
    surface = pick(rng, {'asphalt': 0.5, 'concrete': 0.35, 'fresh_asphalt': 0.15})
    return surface, surface if rng.random() < 0.82 else pick(rng, {'asphalt': 0.4, 'fresh_asphalt': 0.6})


def street(town: Town, block: Block, centre: float, span: tuple[float, float], dead_end: bool) -> None:
    """A side street along u with kerbs; in raw land it may not exist yet at date A."""
    rng, growth = town.rng, block.growth
    surfaces = _resurfaced(rng)
    if growth.raw and growth.front == -np.inf:
        surfaces = pick(rng, {None: 0.3, 'dirt': 0.4, surfaces[0]: 0.3}), surfaces[1]
    kerb = tuple('concrete' if s not in (None, 'dirt') else s for s in surfaces)
    _strip(town, 'verge', span, centre, STREET + 2.4, kerb)
    _strip(town, 'road', span, centre, STREET, surfaces)
    if dead_end:
        town.disc('verge', (span[1], centre), 10.2, kerb)
        town.disc('road', (span[1], centre), 9.0, surfaces)
    exists = (surfaces[0] is not None, surfaces[1] is not None)
    block.clearings.append(((span[0], centre - STREET / 2 - 2, span[1] + 2, centre + STREET / 2 + 2), exists))
    paved = tuple(s not in (None, 'dirt') for s in surfaces)
    _traffic(town, span, centre, STREET, 45, paved)


def main_road(town: Town, centre: float, span: tuple[float, float]) -> None:
    """A main road along u, with lane marks, pavements and trees beside it."""
    rng = town.rng
    surfaces = _resurfaced(rng)
    if rng.random() < 0.6:
        _strip(town, 'verge', span, centre, MAIN_ROAD + 4.5, ('concrete', 'concrete'))
        _strip(town, 'verge', span, centre, MAIN_ROAD + 2.0, ('lawn', 'lawn'))
    else:
        _strip(town, 'verge', span, centre, MAIN_ROAD + 3.0, ('dirt', 'dirt'))
    _strip(town, 'road', span, centre, MAIN_ROAD, surfaces)
    middle, bold = choose(rng, (_WHITE, _YELLOW)), between(rng, 0, 0.6)
    town.lines(_dashes(*span, centre, 3, 4.5), middle, bold, (True, True))
    edges = [_dashes(*span, centre + side * (MAIN_ROAD / 2 - 0.6), 9, 0) for side in (-1, 1)]
    town.lines(np.concatenate(edges), _WHITE, 0.7 * bold, (True, True))
    _traffic(town, span, centre, MAIN_ROAD, 32, (True, True))
    if rng.random() < 0.4:
        along = np.arange(span[0], span[1], between(rng, 9, 16))
        for side in (-1, 1):
            points = np.stack([along, np.full_like(along, centre + side * (MAIN_ROAD / 2 + 2.6))], -1)
            town.trees(points[rng.random(len(points)) < 0.7], (1.2, 2.4), turnover=0.1)


def parking_row(town: Town, rect: Rect, used: Presence) -> None:
    """A strip of asphalt along u with stalls on both sides of a lane."""
    rng = town.rng
    u0, v0, u1, v1 = rect
    surface = pick(rng, {'asphalt': 0.6, 'fresh_asphalt': 0.25, 'concrete': 0.15})
    later = 'fresh_asphalt' if rng.random() < 0.1 else surface
    town.area('yard', rect, (surface if used[0] else None, later if used[1] else None))
    if not town.touches_view(rect):
        return
    stalls = np.arange(u0 + 1, u1 - 1, 2.7)
    for edge, inner in ((v0 + 0.3, v0 + 5), (v1 - 0.3, v1 - 5)):
        town.lines([((u, edge), (u, inner)) for u in stalls], _WHITE, 0.5, used)
        for date in (0, 1):
            share = between(rng, 0.1, 0.75) if used[date] else 0.0
            for u in stalls[:-1][rng.random(len(stalls) - 1) < share]:
                town.car(date, (u + 1.35, (edge + inner) / 2 + rng.normal(0, 0.15)), choose(rng, (-1, 1)) * np.pi / 2)
