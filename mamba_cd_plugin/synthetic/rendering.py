"""Draws a plan: ground, lines, boxes, buildings, trees, then the light."""
import cv2
import numpy as np

from .buildings import draw_building, draw_footprint
from .canvas import Canvas, line_mask, polygon_mask
from .light import Sun, illuminate
from .materials import as_colour
from .objects import draw_box, draw_trees
from .plan import Area, Lines, Plan, Trees
from .terrain import Relief, Season, Window, ground_texture


def _paint_base(canvas: Canvas, plan: Plan, relief: Relief, season: Season) -> None:
    """Fills the canvas with the open land: one material with patches of another."""
    everything: Window = (slice(0, canvas.shape[0]), slice(0, canvas.shape[1]))
    main, other = plan.base
    canvas.colour[:] = ground_texture(main, relief, season, everything)
    share = np.clip(1.5 * (relief.broad + 0.5 * relief.patch - 1.0), 0, 1)
    canvas.blend(everything, ground_texture(other, relief, season, everything), share)


def _paint_area(canvas: Canvas, area: Area, date: int, relief: Relief, season: Season) -> None:
    """Paints a piece of ground, frayed at the border where the area says so."""
    material = area.materials[date]
    window = canvas.window_around(area.polygon, 2 * area.ragged + 1)
    if material is None or window is None:
        return
    alpha = polygon_mask(area.polygon, window)
    if area.ragged:
        alpha = cv2.GaussianBlur(alpha, (0, 0), area.ragged)
        alpha = np.clip((alpha - 0.5 + 0.12 * relief.patch[window]) * 3 + 0.5, 0, 1)
    texture = ground_texture(material, relief, season, window)
    if area.rows:
        angle, period, contrast = area.rows
        x = np.arange(window[1].start, window[1].stop, dtype=np.float32)
        y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None]
        phase = (np.cos(angle) * x + np.sin(angle) * y) * np.float32(2 * np.pi / period)
        texture *= (1 + np.float32(contrast) * np.sin(phase + 0.7 * relief.patch[window]))[..., None]
    canvas.blend(window, texture, alpha)


def _paint_lines(canvas: Canvas, lines: Lines, date: int) -> None:
    window = canvas.window_around(lines.segments.reshape(-1, 2), 1) if lines.present[date] else None
    if window is not None:
        canvas.blend(window, as_colour(lines.colour), np.float32(lines.opacity) * line_mask(lines.segments, window))


def render(plan: Plan, date: int, shape: tuple[int, int], relief: Relief, season: Season, sun: Sun) -> np.ndarray:
    """Draws a plan as it looks at one date.

    Args:
        plan: What stands where.
        date: 0 or 1.
        shape: (H, W) of the canvas.
        relief: Noise of the ground, of the same size.
        season: State of vegetation and soil.
        sun: Direction and strength of the light.

    Returns:
        Float32 (H, W, 3), lit, before the sensor.
    """
    canvas = Canvas(shape)
    _paint_base(canvas, plan, relief, season)
    for area in plan.areas:
        _paint_area(canvas, area, date, relief, season)
    for lines in plan.lines:
        _paint_lines(canvas, lines, date)
    for box in plan.boxes[date]:
        draw_box(canvas, box)
    for building in plan.buildings:
        if building.present[date]:
            draw_building(canvas, building, date, relief, sun)
    draw_trees(canvas, Trees.concatenate(plan.groves), date, season.greenness, sun)
    return illuminate(canvas.colour, canvas.height, canvas.exposure, sun)


def render_label(plan: Plan, shape: tuple[int, int]) -> np.ndarray:
    """Footprints of the buildings that appear or vanish: uint8 (H, W), 0 or 255."""
    label = np.zeros(shape, np.uint8)
    for building in plan.buildings:
        if building.changed:
            draw_footprint(label, building)
    return label
