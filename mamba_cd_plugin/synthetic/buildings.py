"""Buildings: outlines made of rectangles, roofs with slopes, and the small things on top."""
import math
from typing import NamedTuple

import numpy as np

from .canvas import Canvas, clip_window, local_grid
from .materials import GLASS, as_colour, between, choose
from .plan import PIXELS_PER_METRE, Building
from .terrain import Relief, Window

Roofs = dict[int, tuple[Window, 'Roof'] | None]


def outline_parts(rng: np.random.Generator, shape: str, length: float, width: float) -> np.ndarray:
    """Rectangles (M, 4) (centre p, centre q, half length, half width) of an outline of `length` x `width`.

    Args:
        rng: Where the wings stand and how thick they are.
        shape: 'rect', 'L', 'T', 'U' or 'cluster', a body with several wings.
        length, width: Length and width of the bounding box, in any unit.

    Returns:
        The parts, in the same unit, centred on the bounding box.
    """
    if shape == 'rect':
        return np.array([(0, 0, length / 2, width / 2)])
    if shape == 'cluster':
        return _cluster(rng, length, width)
    side = choose(rng, (-1, 1))
    spine = width * between(rng, 0.58, 0.8)  # the bar that all shapes have; the wings fill the rest of the width
    bar = (0, side * (width - spine) / 2, length / 2, spine / 2)

    def wing(position: float, thickness: float) -> tuple[float, float, float, float]:
        """Reaches from the outer side of the bar to the opposite edge, so that the roofs meet in a valley."""
        return position, 0, thickness / 2, width / 2

    if shape == 'L':
        thick = length * between(rng, 0.4, 0.6)
        return np.array([bar, wing(choose(rng, (-1, 1)) * (length - thick) / 2, thick)])
    if shape == 'T':
        thick = length * between(rng, 0.35, 0.5)
        return np.array([bar, wing(between(rng, -0.2, 0.2) * length, thick)])
    thick = length * between(rng, 0.24, 0.32)
    return np.array([bar, wing((thick - length) / 2, thick), wing((length - thick) / 2, thick)])


def _cluster(rng: np.random.Generator, length: float, width: float) -> np.ndarray:
    """A body and two to four wings of its sides, stretched to fill the box."""
    boxes = [(0.0, 0.0, between(rng, 0.75, 1.0), between(rng, 0.6, 0.85))]
    for _ in range(rng.integers(2, 5)):
        half_p, half_q = rng.uniform(0.22, 0.45, 2)
        boxes.append((between(rng, -0.7, 0.7), choose(rng, (-1, 1)) * between(rng, 0.35, 0.6), half_p, half_q))
    parts = np.array(boxes)
    low, high = (parts[:, :2] - parts[:, 2:]).min(0), (parts[:, :2] + parts[:, 2:]).max(0)
    stretch = np.array((length, width)) / (high - low)
    parts[:, :2] = (parts[:, :2] - (low + high) / 2) * stretch
    parts[:, 2:] *= stretch
    return parts


def footprint_distance(building: Building, window: Window) -> np.ndarray:
    """Distance in pixels (h, w) to the outline, negative inside."""
    return _distance(building, *local_grid(window, building.centre, building.angle))


def _distance(building: Building, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    distance = None
    for part_p, part_q, half_length, half_width in building.parts.astype(np.float32):
        part = np.maximum(np.abs(p - part_p) - half_length, np.abs(q - part_q) - half_width)
        distance = part if distance is None else np.minimum(distance, part)
    return distance


def building_window(shape: tuple[int, int], building: Building, pad: float = 2) -> Window | None:
    """The window of a building and `pad` pixels around it; None outside an image of `shape`."""
    corner = (np.abs(building.parts[:, :2]) + building.parts[:, 2:]).max(0)
    reach = float(np.hypot(*corner)) + pad
    centre = np.asarray(building.centre)
    return clip_window(shape, centre - reach, centre + reach)


def _roof_rise(building: Building, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Height of the roof above the eaves in metres; the higher part wins, which yields ridges and valleys."""
    rise = None
    for part_p, part_q, half_length, half_width in building.parts.astype(np.float32):
        along, across = half_length - np.abs(p - part_p), half_width - np.abs(q - part_q)
        if building.roof == 'hip':
            inwards = np.minimum(along, across)
        else:
            inwards = across if half_length >= half_width else along
        # A gable has no slope along its ridge; beyond its end it must not stand above the neighbouring part.
        inside = np.minimum(inwards, along + 1.5 if half_length >= half_width else across + 1.5)
        rise = inside if rise is None else np.maximum(rise, inside)
    return rise * np.float32(building.pitch / PIXELS_PER_METRE)


def _roof_colour(building: Building, date: int, p: np.ndarray, grain: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Colour (h, w, 3) of the roof skin: courses of shingle, sheets of metal or a stained membrane."""
    if building.roof == 'metal':
        texture = 0.035 * np.sin(p * np.float32(2 * np.pi / 5.3)) + 0.012 * grain + 0.015 * patch
    elif building.roof == 'flat':
        texture = 0.02 * grain + 0.045 * patch
    else:
        texture = 0.045 * grain + 0.025 * patch
    return as_colour(building.colours[date]) * (1 + texture)[..., None]


def _fittings(building: Building) -> list[tuple[float, float, float, float, float, np.ndarray]]:
    """Things on the roof, as (p, q, half length, half width, height in m, colour)."""
    rng = np.random.default_rng(building.detail)
    part = building.parts[int(np.argmax(building.parts[:, 2] * building.parts[:, 3]))]
    grey = as_colour((200, 200, 198)) * between(rng, 0.7, 1.1)

    def spot(margin: float) -> np.ndarray:
        return part[:2] + rng.uniform(-1, 1, 2) * np.maximum(part[2:] - margin, 0)

    items = []
    if building.roof == 'flat':
        for _ in range(rng.integers(1, 3 + int(4 * part[2] * part[3] / 900))):
            items.append((*spot(5), *rng.uniform(1, 2.6, 2), between(rng, 0.8, 1.8), grey))
    elif building.roof == 'metal':
        # A row of skylights on either side of the ridge.
        if rng.random() < 0.6:
            count = max(int(part[2] / 8), 1)
            for p in np.linspace(-part[2], part[2], 2 * count + 1)[1::2]:
                items += [(part[0] + p, part[1] + s * part[3] / 2, 1.0, part[3] / 6, 0.0, grey * 1.1) for s in (-1, 1)]
    else:
        if rng.random() < 0.5:
            items.append((*spot(3), 1.0, 1.0, 1.0, as_colour((150, 120, 105))))
        if rng.random() < 0.08:
            items.append((part[0], part[1] + choose(rng, (-1, 1)) * part[3] / 2, part[2] * 0.5, part[3] * 0.3, 0.0,
                          as_colour(GLASS)))
    return items


class Roof(NamedTuple):
    """What a roof looks like at either date, within its window: (h, w), `slope` (h, w, 2).

    Attributes:
        p, q: Coordinates along and across.
        alpha: Coverage.
        height: Metres above the ground.
        slope: Rise to the right and downwards.
        rim: Where the parapet of a flat roof runs.
        covers: (where, coverage, colour) of each thing on the roof.
    """

    p: np.ndarray
    q: np.ndarray
    alpha: np.ndarray
    height: np.ndarray
    slope: np.ndarray
    rim: np.ndarray | None
    covers: list[tuple[Window, np.ndarray, np.ndarray]]


def shape_roof(building: Building, window: Window) -> Roof:
    """The geometry of a roof, which both dates share."""
    p, q = local_grid(window, building.centre, building.angle)
    distance = _distance(building, p, q)
    alpha = np.clip(0.5 - distance, 0, 1)
    slope, rim = np.zeros((*distance.shape, 2), np.float32), None
    if building.pitch:
        rise = _roof_rise(building, p, q)
        if min(rise.shape) > 1:
            slope[:, 1:-1, 0] = (rise[:, 2:] - rise[:, :-2]) * np.float32(PIXELS_PER_METRE / 2)
            slope[1:-1, :, 1] = (rise[2:] - rise[:-2]) * np.float32(PIXELS_PER_METRE / 2)
        rise = np.maximum(rise, 0)
    else:
        rim = np.clip(distance + 2.2, 0, 1)  # a parapet about 1 m wide runs around flat roofs
        rise = 0.5 * rim
    covers = []
    cos, sin = math.cos(building.angle), math.sin(building.angle)
    for item_p, item_q, half_length, half_width, height, tone in _fittings(building):
        # Only around the item: a hall has a dozen, and they are small.
        x = building.centre[0] + cos * item_p - sin * item_q - window[1].start
        y = building.centre[1] + sin * item_p + cos * item_q - window[0].start
        reach = math.hypot(half_length, half_width) + 1
        part = clip_window(distance.shape, (x - reach, y - reach), (x + reach, y + reach))
        if part is None:
            continue
        cover = np.clip(
            0.5 - np.maximum(np.abs(p[part] - item_p) - half_length, np.abs(q[part] - item_q) - half_width), 0, 1)
        covers.append((part, cover[..., None], tone))
        rise[part] += height * cover
    return Roof(p, q, alpha, alpha * (building.eaves + rise), slope, rim, covers)


def draw_building(canvas: Canvas, building: Building, date: int, relief: Relief, roofs: Roofs) -> None:
    """Draws one building as it looks at one date: colour, height and slopes.

    Args:
        canvas: Canvas to draw on.
        building: Building to draw.
        date: 0 or 1.
        relief: Noise of the roof skins.
        roofs: Those drawn before, by the place of the building's object in memory; grows.
    """
    if id(building) not in roofs:
        window = building_window(canvas.shape, building)
        roofs[id(building)] = window and (window, shape_roof(building, window))
    if roofs[id(building)] is None:
        return
    window, roof = roofs[id(building)]
    colour = _roof_colour(building, date, roof.p, relief.grain[window], relief.patch[window])
    if roof.rim is not None:
        colour *= 1 + 0.12 * roof.rim[..., None]
    for part, cover, tone in roof.covers:
        colour[part] += cover * (tone - colour[part])
    canvas.blend(window, colour, roof.alpha)
    canvas.stand(window, roof.alpha, roof.height, roof.slope)


def draw_footprint(label: np.ndarray, building: Building) -> None:
    """Sets the pixels of `label`, uint8 (H, W), whose centres lie within the building to 255."""
    window = building_window(label.shape, building)
    if window is not None:
        label[window][footprint_distance(building, window) < 0] = 255
