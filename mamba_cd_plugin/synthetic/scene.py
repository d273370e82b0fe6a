"""One scene at two dates: plan it, draw it twice, photograph it, and mark the buildings that changed."""
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from .camera import LARGEST_OFFSET, Camera, misregister
from .canopy import KINDS, sheet
from .districts import DISTRICT_SHARES, DISTRICTS
from .frame import Frame
from .growth import Growth
from .land import Block, cover_land
from .light import Sun
from .materials import pick
from .plan import PIXELS_PER_METRE, ScenePlan
from .rendering import render, render_label
from .streets import MAIN_ROAD, main_road
from .terrain import Relief, Season
from .town import Town

Size = int | tuple[int, int]

# What differs between the dates without being change: what stands and lies on the ground, the texture of the ground,
# season and sunlight, camera and its processing, registration.
NUISANCES = ('objects', 'ground', 'season', 'camera', 'registration')
SMALLEST = 32  # px; below, nothing that stands on the ground fits in
# Pixels drawn around the picture, for the shadows of what stands outside and for the misregistration.
_MARGIN = 16
# Share of scenes of up to 256 px in which no building may change. With those where none happens to, 58 % of the tiles
# hold no change, as in LEVIR-CD (57 to 63 %, by split); of larger scenes fewer are quiet.
_QUIET_SHARE = 0.45
_QUIET_AREA = 256**2
# Ground sampling in metres: LEVIR-CD's 0.5 give or take a sixth in most scenes, any between the bounds in the rest.
_SAMPLING, _NEAR_LEVIR = (0.3, 1.0), 0.8
# How much of the ground's texture is new at each date, as a share of its amplitude: unchanged tiles of LEVIR-CD have a
# median correlation of only 0.36 between the dates.
_WEATHERING = (0.5, 1.0)
# Share of scenes whose dates are alike in season and light, and how far their cameras differ: real pairs seldom are,
# but a model learns from them what a building is, and soon.
_ALIKE, _ALIKE_STRENGTH, _ALIKE_WEATHERING = 0.4, 0.4, (0.1, 0.4)
# Easy scenes: most show change (16 of 25 drawn), and the dates are registered to a pixel, so that a model learns what a
# building is within minutes. LEVIR-CD is harder in all three.
_EASY_QUIET_SHARE, _EASY_OFFSET = 0.05, 1.0


class ScenePair(NamedTuple):
    """A bitemporal pair.

    Attributes:
        a, b: RGB images, uint8 (H, W, 3).
        label: Footprints in the grid of `b` of buildings that appear or vanish, uint8 (H, W), 0 or 255. LEVIR-CD's are
            drawn on the date on which the building stands, mostly B; A may be off by some pixels.
    """

    a: np.ndarray
    b: np.ndarray
    label: np.ndarray


def check_size(size: Size) -> tuple[int, int]:
    """(H, W) of a size given as one number or two.

    Raises:
        ValueError: If it is not one or two whole numbers of at least `SMALLEST`.
    """
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n >= SMALLEST for n in pair):
        raise ValueError(f'size = {size!r}: expected one number of pixels or (height, width), each at least {SMALLEST}')
    return int(pair[0]), int(pair[1])


def check_nuisances(nuisances: Collection[str], quiet_share: float | None) -> None:
    """Check what `generate_pair` is given.

    Raises:
        ValueError: If a nuisance is unknown, or the share is below 0 or above 1.
    """
    unknown = sorted({nuisances} if isinstance(nuisances, str) else set(nuisances) - set(NUISANCES))
    if unknown:
        raise ValueError(f'nuisances: found {", ".join(unknown)}; expected some of the list {", ".join(NUISANCES)}')
    if quiet_share is not None and not 0 <= quiet_share <= 1:
        raise ValueError(f'quiet_share = {quiet_share}: expected a share from 0 to 1')


def _grid_lines(rng: np.random.Generator, low: float, high: float) -> list[float]:
    """Where the main roads of one direction lie, in metres: one line beyond either end."""
    lines = [low - rng.uniform(0, 150)]
    while lines[-1] < high:
        lines.append(lines[-1] + rng.uniform(110, 220))
    return lines


def plan_scene(rng: np.random.Generator, shape: tuple[int, int], quiet: bool) -> ScenePlan:
    """Draws up what stands where at which date.

    Args:
        rng: Source of randomness.
        shape: (H, W) of the canvas in pixels.
        quiet: Whether no building may change.
    """
    metres = rng.uniform(0.42, 0.58) if rng.random() < _NEAR_LEVIR else np.exp(rng.uniform(*np.log(_SAMPLING)))
    zoom = 1 / (metres * PIXELS_PER_METRE)
    town = Town(rng, Frame.random(rng, shape, rng.uniform(0.02, 0.4), zoom), shape)
    town.plan.base = pick(rng, {('meadow', 'soil'): 0.4, ('meadow', 'hay'): 0.3, ('hay', 'meadow'): 0.3})
    town.plan.seed = int(rng.integers(2**31))
    u_low, v_low, u_high, v_high = town.frame.bounds(shape)
    us, vs = _grid_lines(rng, u_low, u_high), _grid_lines(rng, v_low, v_high)
    road_u, road_v = rng.random(len(us)) < 0.5, rng.random(len(vs)) < 0.5
    gap_u, gap_v = np.where(road_u, MAIN_ROAD / 2 + 3, 1.5), np.where(road_v, MAIN_ROAD / 2 + 3, 1.5)
    for i in range(len(us) - 1):
        for j in range(len(vs) - 1):
            rect = (us[i] + gap_u[i], vs[j] + gap_v[j], us[i + 1] - gap_u[i + 1], vs[j + 1] - gap_v[j + 1])
            _fill_block(town, rect, quiet)
    for i in range(len(vs)):
        if road_v[i]:
            main_road(town, vs[i], (us[0], us[-1]))
    across = town.turned()
    for i in range(len(us)):
        if road_u[i]:
            main_road(across, -us[i], (vs[0], vs[-1]))
    return town.finish()


def _fill_block(town: Town, rect: tuple[float, float, float, float], quiet: bool) -> None:
    """Fills the land between four main roads with a district, in either direction."""
    rng = town.rng
    if not town.touches_view(rect):
        return
    if rng.random() < 0.5:
        town = town.turned()
        rect = (rect[1], -rect[2], rect[3], -rect[0])
    growth = Growth.random(rng, quiet, rect[0], rect[2])
    block = Block(rect, growth, rng.uniform(0.05, 0.6) if rng.random() < 0.35 else 0.0)
    DISTRICTS[pick(rng, DISTRICT_SHARES)](town, block)
    cover_land(town, block, levelled=growth.raw and rng.random() < 0.6)


def generate_pair(seed: int | Sequence[int], size: Size = 256, nuisances: Collection[str] = NUISANCES,
                  largest_offset: float = LARGEST_OFFSET, easy: bool = False,
                  quiet_share: float | None = None) -> ScenePair:
    """Draws a pair of images of one place and the label of its changed buildings, all from a seed.

    Args:
        seed: Whole number or sequence of such, as for ``numpy.random.SeedSequence``.
        size: Pixels, one number or (height, width).
        nuisances: Which of `NUISANCES` differ between the dates, too. Without any, the two images differ by the changed
            buildings and their shadows only.
        largest_offset: Bound of the misregistration in px.
        easy: Whether the dates are alike in season and light, registered to a pixel, and mostly show change.
        quiet_share: Share of scenes, 0 to 1, in which no building may change, 0.45 by default or 0.05 of easy ones;
            less in scenes of more than 256 x 256 px. In others it may happen, too, that none does.

    Returns:
        The images and the label; the same on each call with the same software.

    Raises:
        ValueError: If the size or a nuisance is not one, or the share not a share.
    """
    height, width = check_size(size)
    check_nuisances(nuisances, quiet_share)
    shape = (height + 2 * _MARGIN, width + 2 * _MARGIN)
    seeds = np.random.SeedSequence(seed).spawn(5)
    rng, *dates = (np.random.default_rng(s) for s in seeds[:3])
    if quiet_share is None:
        quiet_share = _EASY_QUIET_SHARE if easy else _QUIET_SHARE
    largest_offset = min(largest_offset, _EASY_OFFSET) if easy else largest_offset
    quiet = rng.random() < quiet_share * min(1, _QUIET_AREA / (height * width))
    plan = plan_scene(rng, shape, quiet)
    relief = Relief.random(rng, shape)
    if 'objects' not in nuisances:
        plan = plan.without_nuisances()
    alike = rng.random() < (1 if easy else _ALIKE)
    weathering = rng.uniform(*(_ALIKE_WEATHERING if alike else _WEATHERING))
    strength = _ALIKE_STRENGTH if alike else 1.0
    inner = slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width)
    images: list[np.ndarray] = []
    roofs: dict = {}
    for date, own in enumerate(dates):
        # What does not differ is drawn from a source that begins anew at each date.
        common = np.random.default_rng(seeds[4])
        source = {name: own if name in nuisances else common for name in NUISANCES}
        light = np.random.default_rng(seeds[3]) if alike else source['season']
        season, sun, camera = Season.random(light), Sun.random(light), Camera.random(source['camera'], strength)
        scene = render(plan, date, shape, relief.weathered(source['ground'], weathering), season, sun, roofs)
        if date == 0 and 'registration' in nuisances:
            scene = misregister(scene, own, largest_offset)
        images.append(camera.expose(scene[inner], source['camera']))
    return ScenePair(images[0], images[1], np.ascontiguousarray(render_label(plan, shape)[inner]))


def warm_up() -> None:
    """Draws the textures that all scenes of a process share, so that processes forked from it need not: a second."""
    generate_pair(0, SMALLEST)
    for kind in KINDS:
        sheet(kind)
