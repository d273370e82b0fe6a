"""The kinds of districts: what fills the land between the main roads."""
import numpy as np

from .frame import Rect
from .houses import LAWNS, add_house, add_slab, house_style, residential
from .land import Block, scatter_patches
from .materials import CONTAINERS, between, choose, pick
from .streets import parking_row
from .town import Style, Town

_FLATS = Style({'rect': 0.4, 'L': 0.2, 'U': 0.1, 'cluster': 0.3}, {'flat': 0.5, 'hip': 0.4, 'gable': 0.1},
               {'shingles': 0.6, 'tiles': 0.4}, (8, 19))
_HALLS = Style({'rect': 0.5, 'L': 0.15, 'cluster': 0.35}, {'flat': 0.7, 'metal': 0.3}, {'shingles': 1.0}, (6, 11))
_BARNS = Style({'rect': 0.85, 'L': 0.15}, {'metal': 0.6, 'gable': 0.4}, {'shingles': 0.5, 'tiles': 0.5}, (3.5, 6))


def apartments(town: Town, block: Block) -> None:
    """Blocks of flats with lawns, trees and parking rows."""
    for cell in _cells(town, block, (50, 66), (44, 58)):
        rng = town.rng
        u0, v0, u1, v1 = cell
        state = block.growth.state(rng, (u0 + u1) / 2)
        grounds = block.growth.grounds(rng, state, LAWNS)
        town.area('site', cell, grounds, ragged=True)
        block.clearings.append((cell, (grounds[0] is not None, grounds[1] is not None)))
        length, depth = min(between(rng, 26, 46), u1 - u0 - 8), between(rng, 12, 20)
        centre = (u0 + u1) / 2, v0 + 6 + depth / 2
        town.building(centre, (length, depth), _FLATS, state)
        add_slab(town, centre, (length, depth), state, 0.08)
        used = tuple(built or rng.random() < 0.15 for built in state)
        parking_row(town, (u0 + 2, v1 - 13, u1 - 2, v1 - 1), used)
        edge = np.array([(u, v) for u in np.arange(u0 + 3, u1 - 2, 7.0) for v in (v0 + 2, v1 - 15)])
        points = edge[rng.random(len(edge)) < 0.5] + rng.normal(0, 0.8, (1, 2))
        town.trees(points, (1.3, 3.2), np.array(state) | (rng.random((len(points), 2)) < 0.3), turnover=0.15)


def industrial(town: Town, block: Block) -> None:
    """Halls on paved yards, with lorries, containers and parking rows."""
    roomy = between(town.rng, 0.8, 1.6)
    for cell in _cells(town, block, (58 * roomy, 92 * roomy), (50 * roomy, 80 * roomy)):
        rng = town.rng
        u0, v0, u1, v1 = cell
        state = block.growth.state(rng, (u0 + u1) / 2)
        paving = {'asphalt': 0.4, 'concrete': 0.35, 'gravel': 0.25}
        grounds = block.growth.grounds(rng, state, paving)
        town.area('site', cell, grounds, ragged=True)
        block.clearings.append((cell, (grounds[0] is not None, grounds[1] is not None)))
        # Most halls are small; one of 90 x 60 m fills a third of a 256 px tile.
        length = min(20 + 80 * rng.random()**2, u1 - u0 - 8)
        depth = min(15 + 50 * rng.random()**2, v1 - v0 - 22)
        centre = (u0 + u1) / 2 + between(rng, -3, 3), v0 + 5 + depth / 2
        town.building(centre, (length, depth), _HALLS, state)
        add_slab(town, centre, (length, depth), state, 0.08)
        parking_row(town, (u0 + 3, v1 - 13, u1 - 3, v1 - 1), state)
        for date in (0, 1):
            _yard_goods(town, (u0 + 3, v0 + 7 + depth, u1 - 3, v1 - 14), date, grounds[date] is not None)


def _yard_goods(town: Town, rect: Rect, date: int, cleared: bool) -> None:
    """Containers side by side and a few trailers."""
    rng = town.rng
    if not cleared or rect[3] - rect[1] < 4:
        return
    u = rng.uniform(rect[0], (rect[0] + rect[2]) / 2)
    v = rng.uniform(rect[1] + 2, rect[3] - 2)
    for i in range(rng.integers(0, 7)):
        town.box(date, (u + 2.7 * i, v), np.pi / 2, (choose(rng, (6.1, 12.2)), 2.44, 2.6), choose(rng, CONTAINERS))


def rural(town: Town, block: Block) -> None:
    """Strips of fields, a hedge between them, and sometimes a farm."""
    rng = town.rng
    u0, v0, u1, v1 = block.rect
    v = v0
    while v < v1 - 15:
        end = min(v + between(rng, 30, 80), v1)
        crops = tuple(pick(rng, {'crop': 0.3, 'ploughed': 0.25, 'meadow': 0.25, 'hay': 0.2}) for _ in (0, 1))
        rows = (choose(rng, (0.0, np.pi / 2)), between(rng, 3, 7), between(rng, 0.03, 0.08))
        town.area('land', (u0, v, u1, end - 1), crops, ragged=True, rows=rows)
        block.clearings.append(((u0, v, u1, end - 3), (True, True)))
        if rng.random() < 0.5:
            hedge = np.arange(u0, u1, 2.6)
            points = np.stack([hedge, np.full_like(hedge, end)], -1) + rng.normal(0, 0.5, (len(hedge), 2))
            town.trees(points, (1.0, 2.6))
        v = end
    farms: list[Rect] = []
    for _ in range(rng.integers(0, 4)):
        size = between(rng, 14, 34), between(rng, 10, 18)
        u, v = between(rng, u0 + 24, u1 - 24), between(rng, v0 + 16, v1 - 16)
        plot = (u - size[0] / 2 - 7, v - size[1] / 2 - 6, u + size[0] / 2 + 7, v + size[1] / 2 + 6)
        if any(_overlap(plot, other) for other in farms):
            continue
        farms.append(plot)
        state = block.growth.state(rng, u)
        ground = block.growth.grounds(rng, state, {'dirt': 0.4, 'gravel': 0.3, 'meadow': 0.3})
        town.area('site', plot, ground, ragged=True)
        block.clearings.append((plot, (True, True)))
        town.building((u, v), size, _BARNS, state)


def park(town: Town, block: Block) -> None:
    """Lawns, paths, groups of trees, a court and a pond."""
    rng = town.rng
    u0, v0, u1, v1 = block.rect
    town.area('land', block.rect, ('lawn', 'lawn'), ragged=True)
    for v in rng.uniform(v0 + 5, v1 - 5, 2):
        town.area('yard', (u0 - 6, v, u1 + 6, v + 1.8), (choose(rng, ('concrete', 'gravel')), ) * 2)
    for _ in range(5):
        u, v = between(rng, u0 + 15, u1 - 15), between(rng, v0 + 15, v1 - 15)
        kind = pick(rng, {'pond': 0.25, 'court': 0.3, 'grove': 0.25, 'green': 0.2})
        if kind == 'pond':
            town.blob('land', (u, v), between(rng, 7, 20), ('water', 'water'))
            block.clearings.append(((u - 16, v - 16, u + 16, v + 16), (True, True)))
        elif kind == 'green':
            town.blob('land', (u, v), between(rng, 6, 20), (choose(rng, ('lawn', 'hay')), choose(rng, ('lawn', 'hay'))))
        elif kind == 'court':
            surfaces = choose(rng, ('fresh_asphalt', 'dirt', 'concrete', 'pool', None)), 'concrete'
            surface = surfaces if rng.random() < 0.4 else (surfaces[0], surfaces[0])
            town.area('yard', (u - 9, v - 16, u + 9, v + 16), surface)
            across = [((u - 6, v + y), (u + 6, v + y)) for y in (-12, 0, 12)]
            along = [((u + x, v - 12), (u + x, v + 12)) for x in (-6, 6)]
            town.lines(across + along, (230, 230, 226), 0.6, tuple(s is not None for s in surface))
            block.clearings.append(((u - 10, v - 17, u + 10, v + 17), (True, True)))
        else:
            town.trees(rng.normal((u, v), 7, (18, 2)), (1.8, 4.2))


def wild(town: Town, block: Block) -> None:
    """Nothing but the land cover, with patches and tracks that come and go, and sometimes a cabin."""
    rng = town.rng
    u0, v0, u1, v1 = block.rect
    scatter_patches(town, block.rect, rng.poisson(4))
    for _ in range(rng.poisson(1.2)):
        v, width = between(rng, v0, v1), between(rng, 2, 9)
        track = tuple(choose(rng, ('dirt', 'site', 'gravel')) if rng.random() < 0.75 else None for _ in (0, 1))
        town.area('yard', (u0 - 6, v, between(rng, u0 + 20, u1 + 6), v + width), track, ragged=True)
        block.clearings.append(((u0, v - 1, u1, v + width + 1), (track[0] is not None, track[1] is not None)))
    if rng.random() < 0.3:
        u, v = between(rng, u0 + 20, u1 - 20), between(rng, v0 + 20, v1 - 20)
        track = (u0 - 6, v + 7, u, v + 10)
        town.area('yard', track, ('dirt', 'dirt'), ragged=True)
        block.clearings.append((track, (True, True)))
        add_house(town, block, (u - 11, v - 14, u + 11, v + 14), -1, 6, house_style(rng), False)


def _cells(town: Town, block: Block, lengths: tuple[float, float], depths: tuple[float, float]) -> list[Rect]:
    """Divides a block into plots of roughly the wanted size; those in view only."""
    rng = town.rng
    u0, v0, u1, v1 = block.rect
    columns = max(1, round((u1 - u0) / between(rng, *lengths)))
    rows = max(1, round((v1 - v0) / between(rng, *depths)))
    u, v = np.linspace(u0, u1, columns + 1), np.linspace(v0, v1, rows + 1)
    cells = [(u[i] + 1, v[j] + 1, u[i + 1] - 1, v[j + 1] - 1) for i in range(columns) for j in range(rows)]
    return [cell for cell in cells if town.touches_view(cell)]


def _overlap(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


DISTRICTS = {
    'residential': residential,
    'apartments': apartments,
    'industrial': industrial,
    'rural': rural,
    'park': park,
    'wild': wild,
}
DISTRICT_SHARES = {
    'residential': 0.50,
    'apartments': 0.05,
    'industrial': 0.10,
    'rural': 0.08,
    'park': 0.05,
    'wild': 0.22,
}
