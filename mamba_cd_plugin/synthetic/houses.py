"""Houses on their plots, with drive and garden, in rows along side streets."""
import numpy as np

from .frame import Rect
from .land import Block
from .materials import METALS, SHINGLES, between, choose, pick
from .plan import Presence
from .streets import STREET, street
from .town import Style, Town

_HOUSE = {'rect': 0.25, 'L': 0.25, 'T': 0.13, 'U': 0.02, 'cluster': 0.35}
LAWNS = {'lawn': 0.6, 'meadow': 0.17, 'hay': 0.13, 'soil': 0.1}


def house_style(rng: np.random.Generator) -> Style:
    """What the houses of one neighbourhood look like."""
    main = pick(rng, {'shingles': 0.87, 'tiles': 0.13})
    other = 'tiles' if main == 'shingles' else 'shingles'
    hip = between(rng, 0.3, 1.0)
    flat = between(rng, 0, 0.3) if rng.random() < 0.3 else 0.0
    return Style(_HOUSE, {'hip': hip, 'gable': 1 - hip, 'flat': flat, 'metal': flat / 2},
                 {main: 0.93, other: 0.07}, (2.8, 6.2))


def add_slab(town: Town, centre: tuple[float, float], size: tuple[float, float], state: Presence,
             chance: float) -> None:
    """Sometimes lays a concrete slab where no building stands: a foundation is not yet a building."""
    slab = tuple('concrete' if not built and town.rng.random() < chance else None for built in state)
    half_u, half_v = size[0] / 2, size[1] / 2
    town.area('yard', (centre[0] - half_u, centre[1] - half_v, centre[0] + half_u, centre[1] + half_v), slab)


def add_house(town: Town, block: Block, plot: Rect, side: int, setback: float, style: Style, fenced: bool) -> None:
    """A plot with a house, its drive and garden; `side` is +1 where the street lies at the low v end."""
    rng = town.rng
    u0, v0, u1, v1 = plot
    if not town.touches_view(plot):
        return
    state = block.growth.state(rng, (u0 + u1) / 2)
    grounds = block.growth.grounds(rng, state, LAWNS)
    town.area('site', plot, grounds, ragged=True)
    cleared = grounds[0] is not None, grounds[1] is not None
    front = v0 if side > 0 else v1
    length = min(max(u1 - u0 - between(rng, 1.2, 3.5), 9), 26)
    depth = min(between(rng, 14, 24), v1 - v0 - setback - 3)
    u = (u0 + u1) / 2 + between(rng, -0.5, 0.5)
    v = front + side * (setback + depth / 2)
    town.building((u, v), (length, depth), style, state, rng.normal(0, 0.015))
    add_slab(town, (u, v), (length, depth), state, 0.15)
    if block.leafy:
        # Crowns reach over the eaves; what is cleared is the ground under the house alone.
        block.clearings.append(((u - length / 2 + 2, v - depth / 2 + 2, u + length / 2 - 2, v + depth / 2 - 2), state))
    else:
        block.clearings.append((plot, cleared))

    drive = u + choose(rng, (-1, 1)) * (length / 2 - between(rng, 1.8, 3))
    ends = sorted((front - side * 2.5, front + side * (setback + 1)))
    paved = tuple('concrete' if built or rng.random() < 0.15 else None for built in state)
    town.area('yard', (drive - between(rng, 1.5, 3.5), ends[0], drive + 1.7, ends[1]), paved)
    for date in (0, 1):
        if state[date] and rng.random() < 0.4:
            town.car(date, (drive, front + side * between(rng, 1, max(setback - 2, 1.5))), np.pi / 2)
    # A tree in front, on the side without the drive.
    shade = np.array([(2 * u - drive, front + side * between(rng, 1, 2.5))])[:rng.integers(0, 2)]
    town.trees(shade, (1.2, 2.8), np.array([state]).repeat(len(shade), 0), turnover=0.15)
    wall, back = v + side * depth / 2, v1 if side > 0 else v0
    _add_garden(town, (u0, u1), wall, back, state)
    if fenced:
        town.fence(state, (u0, v), (u0, back))
        town.fence(state, (u0, back), (u1, back))


def _add_garden(town: Town, span: tuple[float, float], wall: float, back: float, state: Presence) -> None:
    """Trees, a terrace and now and then a pool between the back wall of a house (a v) and the end of the plot."""
    rng = town.rng
    u0, u1 = span
    room, side = abs(back - wall), np.sign(back - wall)
    if room < 4:
        return

    def yard(u: float, width: float, near: float, far: float, materials: tuple) -> None:
        """Paves a rectangle that lies `near` to `far` metres behind the house."""
        ends = sorted((wall + side * near, wall + side * far))
        town.area('yard', (u, ends[0], u + width, ends[1]), materials)

    points = rng.uniform((u0 + 1, 2.5), (u1 - 1, room), (rng.poisson(1.8), 2))
    points[:, 1] = wall + side * points[:, 1]
    grown = np.array(state) | (rng.random((len(points), 2)) < 0.4)
    town.trees(points, (1.2, 3.4), grown, turnover=0.15)
    if rng.random() < 0.35:
        yard(between(rng, u0 + 2, u1 - 5), between(rng, 3, 5), -1, 3, tuple('concrete' if s else None for s in state))
    if room > 7 and rng.random() < 0.16:
        old = rng.random() < 0.7
        here = tuple(s and (old or bool(date)) for date, s in enumerate(state))
        start, length = between(rng, u0 + 2, u1 - 9), between(rng, 4, 8)
        yard(start - 1.5, length + 3, 1.5, 7.5, tuple('concrete' if h else None for h in here))
        yard(start, length, 3, 6.3, tuple('pool' if h else None for h in here))
    # Sheds are too small to be marked as buildings: they come and go without being change.
    if rng.random() < 0.35:
        place = between(rng, u0 + 3, u1 - 3), back - side * between(rng, 2, 4)
        size = between(rng, 2.2, 4.5), between(rng, 2, 3.2), 2.2
        colour = choose(rng, SHINGLES + METALS)
        for date in (0, 1):
            if rng.random() < 0.75 and state[date]:
                town.box(date, place, 0.0, size, colour)


def residential(town: Town, block: Block) -> None:
    """Rows of houses on both sides of streets along u."""
    rng = town.rng
    u0, v0, u1, v1 = block.rect
    wide = rng.random() < 0.3  # large plots, with room for trees
    depth = between(rng, 66, 90) if wide else between(rng, 50, 66)
    count = max(1, round((v1 - v0) / depth))
    pitch = (v1 - v0) / count
    style, setback, fenced = house_style(rng), between(rng, 4.5, 9), rng.random() < 0.6
    width = between(rng, 20, 32) if wide else between(rng, 14, 21)
    for i in range(count):
        centre = v0 + (i + 0.5) * pitch
        dead_end = rng.random() < 0.25
        street(town, block, centre, (u0 - 8, u1 - 14 if dead_end else u1 + 8), dead_end)
        for side in (-1, 1):
            near, far = centre + side * (STREET / 2 + 2.5), centre + side * pitch / 2
            u = u0 + between(rng, 1, 5)
            while u + width < u1:
                plot_width = width * between(rng, 0.9, 1.15)
                plot = (u, min(near, far), u + plot_width, max(near, far))
                add_house(town, block, plot, side, setback, style, fenced)
                u += plot_width
