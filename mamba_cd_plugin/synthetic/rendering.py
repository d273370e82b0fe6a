"""Draws a plan: ground, lines, boxes, buildings, trees, then the light."""

import cv2
import numpy as np

from .buildings import Roofs, draw_building, draw_footprint
from .canopy import draw_woods
from .canvas import Canvas, fill, line_mask, polygon_mask
from .light import Sun, illuminate
from .materials import as_colour
from .objects import draw_box, draw_fences, draw_trees
from .plan import Area, Lines, ScenePlan, Trees
from .terrain import MATERIAL_IDS, Relief, Season, ground_texture, noise

_FRAY = 2.5  # px by which the noise moves the border of a ragged area


def _map_ground(plan: ScenePlan, date: int, shape: tuple[int, int], relief: Relief) -> np.ndarray:
    """Which ground lies where: uint8 (H, W), see `ground_texture`."""
    main, other = (MATERIAL_IDS[name] for name in plan.base)
    ids = np.full(shape, main, np.uint8)
    ids[relief.broad + 0.5 * relief.patch > 1.2] = other
    for ragged in (True, False):
        for area in plan.areas:
            if area.ragged == ragged and area.materials[date] is not None:
                fill(ids, area.corners, MATERIAL_IDS[area.materials[date]] + area.variant)
        if ragged:
            x = np.arange(shape[1], dtype=np.float32) + np.float32(_FRAY) * relief.patch
            y = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(_FRAY) * relief.tint
            ids = cv2.remap(ids, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return ids


def _plough(canvas: Canvas, area: Area, relief: Relief) -> None:
    """Draws the rows of a field."""
    window = canvas.window_around(area.polygon, 1)
    if window is None:
        return
    angle, period, contrast = area.rows
    x = np.arange(window[1].start, window[1].stop, dtype=np.float32)
    y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None]
    phase = (np.cos(angle) * x + np.sin(angle) * y) * np.float32(2 * np.pi / period)
    furrows = np.float32(contrast) * np.sin(phase + 0.7 * relief.patch[window]) * polygon_mask(area.polygon, window)
    canvas.colour[window] *= (1 + furrows)[..., None]


def _paint_lines(canvas: Canvas, lines: Lines, date: int) -> None:
    window = canvas.window_around(lines.segments.reshape(-1, 2), 1) if lines.present[date] else None
    if window is not None:
        canvas.blend(window, as_colour(lines.colour), np.float32(lines.opacity) * line_mask(lines.segments, window))


def render(plan: ScenePlan, date: int, shape: tuple[int, int], relief: Relief, season: Season, sun: Sun,
           roofs: Roofs | None = None) -> np.ndarray:
    """Draws a plan as it looks at one date.

    Args:
        plan: Plan of the scene.
        date: 0 or 1.
        shape: (H, W) of the canvas.
        relief: Noise of the ground, of the same size.
        season: State of vegetation and soil.
        sun: Direction and strength of the light.
        roofs: Cache of roofs that do not change; pass the same dictionary for both dates.

    Returns:
        Float32 (H, W, 3), lit, before the camera.
    """
    roofs = {} if roofs is None else roofs
    canvas = Canvas(ground_texture(_map_ground(plan, date, shape, relief), relief, season))
    for area in plan.areas:
        if area.rows is not None and area.materials[date] is not None:
            _plough(canvas, area, relief)
    for lines in plan.lines:
        _paint_lines(canvas, lines, date)
    for box in plan.boxes[date]:
        draw_box(canvas, box)
    if plan.fences[date]:
        draw_fences(canvas, plan.fences[date], 1.5)
    for building in plan.buildings:
        if building.present[date]:
            draw_building(canvas, building, date, relief, roofs)
    if plan.woods:
        glades = noise(np.random.default_rng(plan.seed), shape, 60, 3)
        draw_woods(canvas, plan.woods, date, season.greenness, glades, plan.seed)
    draw_trees(canvas, Trees.concatenate(plan.groves), date, season.greenness)
    return illuminate(canvas.colour, canvas.height, canvas.slope, sun)


def render_label(plan: ScenePlan, shape: tuple[int, int]) -> np.ndarray:
    """Footprints of the buildings that appear or vanish: uint8 (H, W), 0 or 255."""
    label = np.zeros(shape, np.uint8)
    for building in plan.buildings:
        if building.changed:
            draw_footprint(label, building)
    return label
