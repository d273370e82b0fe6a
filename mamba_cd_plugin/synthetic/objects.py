"""Everything small: tree crowns, vehicles, containers, fences."""
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from .canvas import Canvas, clip_window, local_grid
from .light import Sun
from .materials import EVERGREEN, GLASS, LEAFLESS, LEAFY, as_colour
from .plan import PIXELS_PER_METRE, Box, Trees

CROWN_SHAPES = 6  # more are not told apart at 5 to 20 px


@dataclass(frozen=True)
class Crown:
    """The shape of a crown, all float32 (n, n): opacity, height (1 at the top), slopes, brightness of the leaves."""

    alpha: np.ndarray
    dome: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray
    leaves: np.ndarray


@cache
def crown(half_pixels: int, variant: int) -> Crown:
    """A crown with a radius of `half_pixels` / 2, of one of several lobed shapes that are the same in every run."""
    rng = np.random.default_rng((variant, half_pixels))
    radius = half_pixels / 2
    reach = int(radius * 1.25) + 1
    x = np.arange(-reach, reach + 1, dtype=np.float32)
    y = x[:, None]
    theta = np.arctan2(y, x)
    rim = np.full_like(theta, radius)
    for lobes, depth in ((2, 0.08), (3, 0.09), (5, 0.07), (8, 0.04)):
        rim *= 1 + depth * np.sin(lobes * theta + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(x, y)
    bumps = rng.standard_normal(theta.shape, np.float32)
    bumps = cv2.GaussianBlur(bumps, (0, 0), max(radius / 5, 0.6))
    bumps /= bumps.std() + 1e-6
    dome = np.sqrt(np.clip(1 - (distance / rim)**2, 0, 1)) * np.clip(1 + 0.16 * bumps, 0.3, 1.5)
    # As high as wide: metres of height per metre of ground, in units of the crown's own height.
    slope_y, slope_x = np.gradient(dome * radius)
    alpha = np.clip(rim - distance + 0.5, 0, 1) * np.clip(1 + 0.12 * bumps, 0.6, 1)
    leaves = 1 + 0.10 * bumps + 0.07 * rng.standard_normal(theta.shape, np.float32)
    return Crown(*(a.astype(np.float32) for a in (alpha, dome, slope_x, slope_y, leaves)))


def draw_trees(canvas: Canvas, trees: Trees, date: int, greenness: float, sun: Sun) -> None:
    """Draws all crowns that stand at one date."""
    # Between bare (0) and in leaf (1); crowns turn faster than grass does.
    leaf = float(np.clip(greenness * 1.8 - 0.1, 0, 1))
    evergreen = as_colour(EVERGREEN) * (0.9 + 0.2 * greenness)
    leafy = as_colour(LEAFLESS) + leaf * (as_colour(LEAFY) - as_colour(LEAFLESS))
    lit: dict[tuple[int, int], np.ndarray] = {}
    shown = np.flatnonzero(trees.present[:, date])
    for i in shown:
        key = (max(int(2 * trees.radius[i, date] + 0.5), 3), int(i) % CROWN_SHAPES)
        shape = crown(*key)
        reach = shape.alpha.shape[0] // 2
        x, y = int(trees.position[i, 0] + 0.5), int(trees.position[i, 1] + 0.5)
        x0, y0 = max(x - reach, 0), max(y - reach, 0)
        x1, y1 = min(x + reach + 1, canvas.shape[1]), min(y + reach + 1, canvas.shape[0])
        if x0 >= x1 or y0 >= y1:
            continue
        window = slice(y0, y1), slice(x0, x1)
        inner = slice(y0 - y + reach, y1 - y + reach), slice(x0 - x + reach, x1 - x + reach)
        if key not in lit:
            lit[key] = sun.exposure(0.5 * shape.slope_x, 0.5 * shape.slope_y)
        density = 1.0 if trees.evergreen[i] else 0.45 + 0.55 * leaf
        tone = (evergreen if trees.evergreen[i] else leafy) * np.float32(trees.tint[i])
        alpha = np.float32(density) * shape.alpha[inner]
        canvas.blend(window, shape.leaves[inner][..., None] * tone, alpha)
        light = canvas.exposure[window]
        light += alpha * (lit[key][inner] - light)
        top = canvas.height[window]
        tallness = density * (1.5 + 1.3 * key[0] / 2 / PIXELS_PER_METRE)  # metres: wide crowns stand on tall trunks
        np.maximum(top, np.float32(tallness) * shape.dome[inner], out=top)


def draw_box(canvas: Canvas, box: Box) -> None:
    """Draws a vehicle, container or fence."""
    centre = np.asarray(box.centre)
    reach = np.hypot(box.length, box.width) / 2 + 1
    window = clip_window(canvas.shape, centre - reach, centre + reach)
    if window is None:
        return
    p, q = local_grid(window, box.centre, box.angle)
    alpha = np.clip(0.5 - np.maximum(np.abs(p) - box.length / 2, np.abs(q) - box.width / 2), 0, 1)
    # Something thinner than a pixel covers only part of it.
    alpha *= np.float32(min(box.width, 1.0))
    colour = np.broadcast_to(as_colour(box.colour), (*p.shape, 3))
    if box.glazed:
        # Windscreen and rear window, seen from above as dark bands.
        at = p / np.float32(box.length)
        glass = np.clip(1 - np.abs(at - 0.2) * 14, 0, 1) + 0.8 * np.clip(1 - np.abs(at + 0.33) * 16, 0, 1)
        colour = colour + glass[..., None] * (as_colour(GLASS) - colour)
    canvas.blend(window, colour, alpha)
    top = canvas.height[window]
    np.maximum(top, alpha * np.float32(box.height), out=top)
