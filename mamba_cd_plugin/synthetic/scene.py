"""One scene at two dates: plan it, draw it twice, photograph it, and mark the buildings that changed."""
from typing import NamedTuple, Sequence, Union

import cv2
import numpy as np

from .districts import DISTRICT_SHARES, DISTRICTS
from .frame import Frame
from .growth import Growth
from .land import Block, cover_land
from .light import Sensor, Sun
from .materials import pick
from .plan import Plan
from .rendering import render, render_label
from .streets import MAIN_ROAD, main_road
from .terrain import Relief, Season
from .town import Town

Size = Union[int, tuple[int, int]]

SMALLEST = 32  # px; below, nothing that stands on the ground fits in
# Pixels drawn around the picture, for the shadows of what stands outside and for the misregistration.
_MARGIN = 20
# Share of pairs of 256 px (and up to 512 px) without any changed building, as in tiles of LEVIR-CD; pairs that are
# larger rarely are without, and not at all by decree.
_QUIET_SHARE = 0.06
_QUIET_AREA = 512**2
# Largest misregistration in px, of which the rotation takes at most the second number (at the corners).
_SHIFT, _TWIST = 0.7, 0.3


class ScenePair(NamedTuple):
    """A bitemporal pair.

    Attributes:
        a, b: RGB images, uint8 (H, W, 3).
        label: Footprints in the grid of `a` of buildings that appear or vanish, uint8 (H, W), 0 or 255.
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


def _grid_lines(rng: np.random.Generator, low: float, high: float) -> list[float]:
    """Where the main roads of one direction lie, in metres: one line beyond either end."""
    lines = [low - rng.uniform(0, 150)]
    while lines[-1] < high:
        lines.append(lines[-1] + rng.uniform(110, 220))
    return lines


def plan_scene(rng: np.random.Generator, shape: tuple[int, int], quiet: bool) -> Plan:
    """Draws up what stands where at which date.

    Args:
        rng: Source of randomness.
        shape: (H, W) of the canvas in pixels.
        quiet: Whether no building may change.
    """
    town = Town(rng, Frame.random(rng, shape, bend=rng.uniform(0.02, 0.28)), shape)
    town.plan.base = pick(rng, {('meadow', 'soil'): 0.5, ('meadow', 'scrub'): 0.3, ('scrub', 'soil'): 0.2})
    u_low, v_low, u_high, v_high = town.frame.bounds(shape)
    us, vs = _grid_lines(rng, u_low, u_high), _grid_lines(rng, v_low, v_high)
    road_u, road_v = rng.random(len(us)) < 0.65, rng.random(len(vs)) < 0.65
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
    block = Block(rect, Growth.random(rng, quiet, rect[0], rect[2]))
    DISTRICTS[pick(rng, DISTRICT_SHARES)](town, block)
    cover_land(town, block)


def misregister(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifts and slightly rotates an image, by less than a pixel at every point."""
    height, width = image.shape[:2]
    direction, distance = rng.uniform(0, 2 * np.pi), _SHIFT * np.sqrt(rng.random())
    angle = rng.uniform(-1, 1) * _TWIST / (np.hypot(height, width) / 2)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(angle)), 1.0)
    matrix[:, 2] += distance * np.cos(direction), distance * np.sin(direction)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def generate_pair(seed: Union[int, Sequence[int]], size: Size = 256, nuisances: bool = True) -> ScenePair:
    """Draws a pair of images of one place and the label of its changed buildings, all from a seed.

    Args:
        seed: Whole number or sequence of such, as for ``numpy.random.SeedSequence``.
        size: Pixels, one number or (height, width).
        nuisances: Whether season, light, shadows, vehicles, trees, ground, sensor and registration differ between
            the dates too. Without, the two images differ by the changed buildings and their shadows only.

    Returns:
        The images and the label; the same on each call with the same software.

    Raises:
        ValueError: If the size is not one.
    """
    height, width = check_size(size)
    shape = (height + 2 * _MARGIN, width + 2 * _MARGIN)
    seeds = np.random.SeedSequence(seed).spawn(4)
    rng, *dates = (np.random.default_rng(s) for s in seeds[:3])
    quiet = rng.random() < _QUIET_SHARE * min(1, _QUIET_AREA / (height * width))
    plan = plan_scene(rng, shape, quiet)
    relief = Relief.random(rng, shape)
    if not nuisances:
        plan = plan.without_nuisances()
        dates = [np.random.default_rng(seeds[1]) for _ in dates]
    images = []
    for date, own in enumerate(dates):
        season, sun, sensor = Season.random(own), Sun.random(own), Sensor.random(own)
        image = render(plan, date, shape, relief.weathered(own, 0.45), season, sun)
        if date == 1 and nuisances:
            image = misregister(image, own)
        images.append(sensor.expose(image, own))
    label = render_label(plan, shape)
    inner = slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width)
    return ScenePair(*(np.ascontiguousarray(layer[inner]) for layer in (*images, label)))
