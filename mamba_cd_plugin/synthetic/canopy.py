"""Woods and shrubs by the thousand: cut from sheets of crowns that are drawn once per process."""
from dataclasses import dataclass
from functools import cache

import numpy as np

from .canvas import Canvas, fill
from .objects import CROWN_SHAPES, crown, crown_tones
from .plan import Wood

# Side of a sheet in px, which repeats itself beyond; radii of its crowns in px; crowns per square pixel.
_SIDE = 512
_SHEETS = {'shrub': ((1.5, 3.6), 0.045), 'tree': ((3.0, 9.0), 0.022)}
KINDS = tuple(_SHEETS)
SPECIES = 16


@dataclass(frozen=True)
class Sheet:
    """Crowns at full density, (2 * side, 2 * side): four times the same, so that any window can be cut out.

    Attributes:
        crowns: Float32 (..., 6): opacity, height in metres, slope to the right and downwards, brightness, species.
        rank: Uint8; the crown stands where the density, 0-255, is above it. Low ranks lie on top.
        to_x, to_y: Int32 offsets to the middle of the crown, where the density is read: crowns are whole.
    """

    crowns: np.ndarray
    rank: np.ndarray
    to_x: np.ndarray
    to_y: np.ndarray


@cache
def sheet(kind: str) -> Sheet:
    """The sheet of 'shrub' or 'tree', the same in every run."""
    (low, high), density = _SHEETS[kind]
    rng = np.random.default_rng(KINDS.index(kind))
    # Columns: those of Sheet.crowns, then rank and offsets.
    layers = np.zeros((_SIDE, _SIDE, 9), np.float32)
    layers[..., 6] = 255
    count = int(density * _SIDE**2)
    for i in range(count):
        shape = crown(max(int(2 * rng.uniform(low, high) + 0.5), 3), int(rng.integers(CROWN_SHAPES)))
        reach = shape.alpha.shape[0] // 2
        x, y = rng.integers(0, _SIDE, 2)
        steps = np.arange(-reach, reach + 1)
        stamp = np.empty((*shape.alpha.shape, 9), np.float32)
        stamp[..., 0], stamp[..., 1] = shape.alpha, shape.dome
        stamp[..., 2:4] = 0.5 * shape.slope
        stamp[..., 4], stamp[..., 5] = shape.leaves, rng.integers(SPECIES)
        stamp[..., 6] = int(254 * (1 - i / count))
        stamp[..., 7], stamp[..., 8] = -steps, -steps[:, None]
        place = np.ix_((y + steps) % _SIDE, (x + steps) % _SIDE)
        # A crown hides what lies below it: half-transparent rims would mix two species.
        layers[place] = np.where(shape.alpha[..., None] > 0.3, stamp, layers[place])
    layers[..., 1] *= 0.5 + 0.6 * (low + high) / 2
    layers = np.tile(layers, (2, 2, 1))
    return Sheet(np.ascontiguousarray(layers[..., :6]), layers[..., 6].astype(np.uint8),
                 layers[..., 7].astype(np.int32), layers[..., 8].astype(np.int32))


def draw_woods(canvas: Canvas, woods: list[Wood], date: int, greenness: float, glades: np.ndarray, seed: int) -> None:
    """Draws the crowns of all woods as they stand at one date.

    Args:
        canvas: Canvas to draw on.
        woods: Woods in the order of painting.
        date: 0 or 1.
        greenness: Greenness of the season.
        glades: Float32 (H, W) of unit variance; crowns are rare where it is low.
        seed: Random seed of the crowns, the same for both dates.
    """
    thinning = np.clip(0.9 + 0.5 * glades, 0.1, 1)
    for kind in KINDS:
        density = np.zeros(canvas.shape, np.uint8)
        for wood in woods:
            if wood.kind == kind and wood.density[date] is not None:
                fill(density, wood.corners, round(254 * wood.density[date]))
        if density.any():
            _draw_sheet(canvas, kind, density * thinning, greenness, np.random.default_rng((seed, KINDS.index(kind))))


def _draw_sheet(canvas: Canvas, kind: str, density: np.ndarray, greenness: float,
                rng: np.random.Generator) -> None:
    crowns, (height, width) = sheet(kind), canvas.shape
    start = rng.integers(_SIDE, size=2)
    rows, columns = ((first + np.arange(side)) % (2 * _SIDE) for first, side in zip(start, (height, width)))
    if max(height, width) <= _SIDE:
        cut = tuple(slice(first, first + side) for first, side in zip(start, (height, width)))
    else:
        cut = np.ix_(rows, columns)
    # The density at the middle of each pixel's crown; what reaches over the sides of the canvas gets that of the next
    # row, which nobody sees since the canvas has a margin.
    wanted = density.astype(np.uint8)
    middle = crowns.to_y[cut] * width
    middle += crowns.to_x[cut]
    middle += np.arange(height * width, dtype=np.int32).reshape(height, width)
    stands = np.flatnonzero(crowns.rank[cut] < np.take(wanted, middle, mode='clip'))
    if not stands.size:
        return
    y, x = np.divmod(stands, width)
    alpha, dome, slope_x, slope_y, leaves, species = np.take(
        crowns.crowns.reshape(-1, 6), rows[y] * (2 * _SIDE) + columns[x], axis=0).T
    species = species.astype(np.uint8)

    evergreen, leafy, opacity = crown_tones(greenness)
    mixed = rng.random(SPECIES) < rng.uniform(0.1, 0.9)
    tints = rng.uniform(0.7, 1.25, (SPECIES, 1)) * rng.uniform(0.93, 1.07, (SPECIES, 3))
    tones = (np.where(mixed[:, None], evergreen, leafy) * tints).astype(np.float32)
    alpha = alpha * np.where(mixed, 1, opacity).astype(np.float32)[species]
    # As Canvas.blend and Canvas.stand, for scattered pixels.
    for layer, values in ((canvas.colour, leaves[:, None] * tones[species]),
                          (canvas.slope, np.stack([slope_x, slope_y], -1))):
        flat = layer.reshape(height * width, -1)
        below = flat[stands]
        flat[stands] = below + alpha[:, None] * (values - below)
    top = canvas.height.reshape(-1)
    top[stands] = np.maximum(top[stands], dome * alpha)
