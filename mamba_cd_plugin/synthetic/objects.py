"""Everything small: tree crowns, vehicles, containers, fences."""
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from .canvas import Canvas, line_mask, local_grid
from .materials import EVERGREEN, FENCE, GLASS, LEAFLESS, LEAFY, as_colour
from .plan import PIXELS_PER_METRE, Box, Trees
from .terrain import Window

CROWN_SHAPES = 6  # more are not told apart at 5 to 20 px
_TURNS = 48  # directions of stored cars


@dataclass(frozen=True)
class Crown:
    """The shape of a crown, float32 (n, n): opacity, height (1 at the top), slopes (n, n, 2), brightness of leaves."""

    alpha: np.ndarray
    dome: np.ndarray
    slope: np.ndarray
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
    slope = np.stack([slope_x, slope_y], -1)
    return Crown(*(a.astype(np.float32) for a in (alpha, dome, slope, leaves)))


def crown_tones(greenness: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Colours of evergreen and of other crowns, and the opacity of the latter, which lose their leaves."""
    # Between bare (0) and in leaf (1); crowns turn faster than grass does.
    leaf = float(np.clip(greenness * 1.8 - 0.1, 0, 1))
    evergreen = as_colour(EVERGREEN) * (0.9 + 0.2 * greenness)
    return evergreen, as_colour(LEAFLESS) + leaf * (as_colour(LEAFY) - as_colour(LEAFLESS)), 0.45 + 0.55 * leaf


def draw_trees(canvas: Canvas, trees: Trees, date: int, greenness: float) -> None:
    """Draws all crowns that stand at one date."""
    evergreen, leafy, opacity = crown_tones(greenness)
    shown = np.flatnonzero(trees.present[:, date])
    radii = np.maximum(2 * trees.radius[shown, date] + 0.5, 3).astype(int).tolist()
    for i, half_pixels, centre in zip(shown.tolist(), radii, trees.position[shown].tolist()):
        shape = crown(half_pixels, i % CROWN_SHAPES)
        window, inner = _place(canvas, centre, shape.alpha.shape[0] // 2)
        if window is None:
            continue
        density = np.float32(1.0 if trees.evergreen[i] else opacity)
        tone = (evergreen if trees.evergreen[i] else leafy) * np.float32(trees.tint[i])
        alpha = density * shape.alpha[inner]
        canvas.blend(window, shape.leaves[inner][..., None] * tone, alpha)
        tallness = density * np.float32(1.5 + 1.3 * half_pixels / 2 / PIXELS_PER_METRE)  # wide crowns are tall
        canvas.stand(window, alpha, tallness * shape.dome[inner], 0.5 * shape.slope[inner])


@cache
def _car(length: int, width: int, turn: int, glazed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and share of glass, each float32 (n, n), of a box of half pixels, turned by `turn` / _TURNS."""
    reach = int(np.hypot(length, width) / 4 + 1.5)
    p, q = local_grid((slice(-reach, reach + 1), ) * 2, (0.0, 0.0), 2 * np.pi * turn / _TURNS)
    alpha = np.clip(0.5 - np.maximum(np.abs(p) - length / 4, np.abs(q) - width / 4), 0, 1)
    glass = np.zeros_like(alpha)
    if glazed:
        # Windscreen and rear window, seen from above as dark bands.
        at = p / np.float32(length / 2)
        glass = np.clip(1 - np.abs(at - 0.2) * 14, 0, 1) + 0.8 * np.clip(1 - np.abs(at + 0.33) * 16, 0, 1)
    return alpha.astype(np.float32), glass.astype(np.float32)


def draw_box(canvas: Canvas, box: Box) -> None:
    """Draws a vehicle, container or shed."""
    alpha, glass = _car(round(2 * box.length), round(2 * box.width), round(box.angle * _TURNS / (2 * np.pi)) % _TURNS,
                        box.glazed)
    window, inner = _place(canvas, box.centre, alpha.shape[0] // 2)
    if window is None:
        return
    colour = as_colour(box.colour)
    if box.glazed:
        colour = colour + glass[inner][..., None] * (as_colour(GLASS) - colour)
    canvas.blend(window, colour, alpha[inner])
    top = canvas.height[window]
    np.maximum(top, alpha[inner] * np.float32(box.height), out=top)


def draw_fences(canvas: Canvas, fences: list[tuple], height: float) -> None:
    """Draws fences, `height` metres high, given by two points (x, y) each."""
    everything = slice(0, canvas.shape[0]), slice(0, canvas.shape[1])
    alpha = np.float32(0.6) * line_mask(np.array(fences), everything)  # they cover only part of a pixel
    canvas.blend(everything, as_colour(FENCE), alpha)
    np.maximum(canvas.height, alpha * np.float32(height), out=canvas.height)


def _place(canvas: Canvas, centre: tuple[float, float], reach: int) -> tuple[Window | None, Window | None]:
    """Where a stamp of (2 * reach + 1) px around a point lies on the canvas, and which part of it does."""
    x, y = int(centre[0] + 0.5), int(centre[1] + 0.5)
    x0, y0 = max(x - reach, 0), max(y - reach, 0)
    x1, y1 = min(x + reach + 1, canvas.shape[1]), min(y + reach + 1, canvas.shape[0])
    if x0 >= x1 or y0 >= y1:
        return None, None
    return ((slice(y0, y1), slice(x0, x1)),
            (slice(y0 - y + reach, y1 - y + reach), slice(x0 - x + reach, x1 - x + reach)))
