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
    """Crowns at full density, each (2 * side, 2 * side): four times the same, so that any window can be cut out.

    Attributes:
        alpha: Float32 opacity.
        dome: Float32 height in metres.
        slope: Float32 (2 * side, 2 * side, 2), of the crown's surface.
        leaves: Float32 brightness.
        rank: Uint8; the crown stands where the density, 0-255, is above it. Low ranks lie on top.
        species: Uint8, 0 to SPECIES - 1.
        to_x, to_y: Int16 offsets to the middle of the crown, where the density is read: crowns are whole.
    """

    alpha: np.ndarray
    dome: np.ndarray
    slope: np.ndarray
    leaves: np.ndarray
    rank: np.ndarray
    species: np.ndarray
    to_x: np.ndarray
    to_y: np.ndarray


@cache
def sheet(kind: str) -> Sheet:
    """The sheet of 'shrub' or 'tree', the same in every run."""
    (low, high), density = _SHEETS[kind]
    rng = np.random.default_rng(KINDS.index(kind))
    # Columns: alpha, dome, slope x and y, leaves, rank, species, offsets to the middle.
    layers = np.zeros((_SIDE, _SIDE, 9), np.float32)
    layers[..., 5] = 255
    count = int(density * _SIDE**2)
    for i in range(count):
        shape = crown(max(int(2 * rng.uniform(low, high) + 0.5), 3), int(rng.integers(CROWN_SHAPES)))
        reach = shape.alpha.shape[0] // 2
        x, y = rng.integers(0, _SIDE, 2)
        steps = np.arange(-reach, reach + 1)
        stamp = np.empty((*shape.alpha.shape, 9), np.float32)
        stamp[..., 0], stamp[..., 1] = shape.alpha, shape.dome
        stamp[..., 2:4] = 0.5 * shape.slope
        stamp[..., 4] = shape.leaves
        stamp[..., 5], stamp[..., 6] = int(254 * (1 - i / count)), rng.integers(SPECIES)
        stamp[..., 7], stamp[..., 8] = -steps, -steps[:, None]
        place = np.ix_((y + steps) % _SIDE, (x + steps) % _SIDE)
        # A crown hides what lies below it: half-transparent rims would mix two species.
        layers[place] = np.where(shape.alpha[..., None] > 0.3, stamp, layers[place])
    layers[..., 1] *= 0.5 + 0.6 * (low + high) / 2
    layers = np.tile(layers, (2, 2, 1))
    alpha, dome, _, _, leaves, rank, species, to_x, to_y = (np.ascontiguousarray(c) for c in np.moveaxis(layers, -1, 0))
    return Sheet(alpha, dome, layers[..., 2:4].copy(), leaves, rank.astype(np.uint8), species.astype(np.uint8),
                 to_x.astype(np.int16), to_y.astype(np.int16))


def draw_woods(canvas: Canvas, woods: list[Wood], date: int, greenness: float, glades: np.ndarray, seed: int) -> None:
    """Draws the crowns of all woods as they stand at one date.

    Args:
        canvas: What to draw on.
        woods: In the order of painting.
        date: 0 or 1.
        greenness: Of the season.
        glades: Float32 (H, W) of unit variance; crowns are rare where it is low.
        seed: Of the woods' crowns, the same for both dates.
    """
    for kind in KINDS:
        density = np.zeros(canvas.shape, np.uint8)
        for wood in woods:
            if wood.kind == kind and wood.density[date] is not None:
                fill(density, wood.polygon, round(254 * wood.density[date]))
        if density.any():
            _draw_sheet(canvas, kind, density, greenness, glades, np.random.default_rng((seed, KINDS.index(kind))))


def _draw_sheet(canvas: Canvas, kind: str, density: np.ndarray, greenness: float, glades: np.ndarray,
                rng: np.random.Generator) -> None:
    crowns = sheet(kind)
    rows, columns = np.flatnonzero(density.any(1)), np.flatnonzero(density.any(0))
    pad = int(_SHEETS[kind][0][1]) + 1
    window = (slice(max(rows[0] - pad, 0), min(rows[-1] + pad + 1, canvas.shape[0])),
              slice(max(columns[0] - pad, 0), min(columns[-1] + pad + 1, canvas.shape[1])))
    start = rng.integers(_SIDE, size=2)
    y, x = (np.arange(w.start, w.stop) for w in window)
    if max(len(y), len(x)) <= _SIDE:
        place = tuple(slice(first, first + len(n)) for first, n in zip(start, (y, x)))
    else:
        place = np.ix_((y + start[0]) % _SIDE, (x + start[1]) % _SIDE)
    at_y = np.clip(y[:, None] + crowns.to_y[place], 0, canvas.shape[0] - 1)
    at_x = np.clip(x + crowns.to_x[place], 0, canvas.shape[1] - 1)
    wanted = density * np.clip(0.9 + 0.5 * glades, 0.1, 1).astype(np.float32)
    stands = crowns.rank[place] < wanted[at_y, at_x]
    if not stands.any():
        return
    evergreen, leafy, opacity = crown_tones(greenness)
    share = rng.uniform(0.1, 0.9)
    mixed = rng.random(SPECIES) < share
    tints = rng.uniform(0.7, 1.25, (SPECIES, 1)) * rng.uniform(0.93, 1.07, (SPECIES, 3))
    tones = (np.where(mixed[:, None], evergreen, leafy) * tints).astype(np.float32)
    species = crowns.species[place]
    alpha = crowns.alpha[place] * stands
    alpha *= np.where(mixed, 1, opacity).astype(np.float32)[species]
    canvas.blend(window, crowns.leaves[place][..., None] * tones[species], alpha)
    canvas.stand(window, alpha, crowns.dome[place] * alpha, crowns.slope[place])
