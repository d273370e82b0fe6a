"""The colours of the generated scenes: what grounds, roofs, vehicles and crowns look like from above.

Colours are display-referred RGB (0-255) as one would pick them from 0.5 m aerial photographs, before sun and sensor.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

RGB = tuple[int, int, int]
Item = TypeVar('Item')


@dataclass(frozen=True)
class Material:
    """A ground surface.

    Attributes:
        dry: Colour when dry or, for vegetation, out of season.
        lush: Colour when wet or, for vegetation, in full growth.
        grain, patch, broad: Relative contrast of the noise at about 1 px, 10 px and 100 px.
        vegetated: Whether the season (rather than moisture) moves it between the two colours.
    """

    dry: RGB
    lush: RGB
    grain: float
    patch: float
    broad: float
    vegetated: bool = False


MATERIALS = {
    'meadow': Material((146, 130, 100), (96, 106, 70), 0.09, 0.06, 0.06, True),
    'hay': Material((172, 156, 118), (138, 136, 96), 0.07, 0.07, 0.07, True),
    'lawn': Material((142, 134, 104), (86, 108, 68), 0.06, 0.045, 0.05, True),
    'scrub': Material((112, 98, 76), (78, 88, 60), 0.14, 0.13, 0.08, True),
    'forest_floor': Material((92, 80, 62), (58, 66, 44), 0.13, 0.15, 0.08, True),
    'crop': Material((166, 148, 108), (82, 118, 62), 0.06, 0.035, 0.05, True),
    'ploughed': Material((136, 112, 92), (98, 80, 66), 0.07, 0.035, 0.05),
    'soil': Material((180, 158, 132), (142, 120, 98), 0.06, 0.055, 0.06),
    'site': Material((206, 194, 172), (172, 156, 134), 0.05, 0.055, 0.05),
    'dirt': Material((188, 166, 136), (150, 126, 100), 0.06, 0.07, 0.05),
    'gravel': Material((166, 160, 150), (140, 134, 126), 0.08, 0.05, 0.05),
    'concrete': Material((192, 187, 177), (164, 160, 152), 0.025, 0.035, 0.03),
    'asphalt': Material((132, 130, 128), (112, 111, 111), 0.03, 0.04, 0.04),
    'fresh_asphalt': Material((88, 87, 89), (74, 74, 77), 0.025, 0.03, 0.03),
    'water': Material((66, 90, 96), (48, 70, 74), 0.015, 0.02, 0.05),
    'pool': Material((92, 172, 190), (84, 160, 182), 0.04, 0.03, 0.0),
}

SHINGLES: tuple[RGB, ...] = ((122, 117, 112), (108, 102, 98), (138, 130, 122), (92, 88, 88), (128, 112, 98),
                             (116, 98, 84), (146, 134, 120), (74, 72, 74))
TILES: tuple[RGB, ...] = ((160, 112, 92), (142, 94, 78), (172, 130, 108), (134, 98, 84))
MEMBRANES: tuple[RGB, ...] = ((244, 244, 240), (226, 226, 222), (206, 204, 198), (178, 174, 168), (152, 148, 142),
                              (122, 120, 118), (192, 182, 164))
METALS: tuple[RGB, ...] = ((222, 224, 224), (198, 202, 204), (168, 176, 184), (132, 152, 174), (186, 172, 148),
                           (142, 98, 82), (112, 124, 120))
CARS: tuple[RGB, ...] = ((226, 226, 224), (188, 190, 192), (128, 130, 134), (52, 54, 58), (34, 34, 38), (44, 62, 104),
                         (132, 36, 34), (86, 80, 72))
CONTAINERS: tuple[RGB, ...] = ((168, 84, 56), (60, 92, 128), (196, 196, 190), (72, 108, 82), (150, 140, 124))
FENCE: RGB = (134, 112, 90)
GLASS: RGB = (42, 48, 56)
EVERGREEN: RGB = (50, 66, 42)
LEAFY: RGB = (82, 104, 54)
LEAFLESS: RGB = (110, 98, 82)


@lru_cache(4096)
def as_colour(rgb: tuple[float, ...]) -> np.ndarray:
    """RGB in 0-255 as float32 (3,) in 0-1, not to be written to."""
    colour = np.asarray(rgb, np.float32) / 255
    colour.setflags(write=False)
    return colour


def pick(rng: np.random.Generator, weights: dict[Item, float]) -> Item:
    """One key of a weight table; ``Generator.choice`` does the same but takes 20 times as long for a single draw."""
    mark = rng.random() * sum(weights.values())
    for item, weight in weights.items():
        mark -= weight
        if mark < 0:
            return item
    return item


def choose(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One of several equally likely items; ``Generator.integers`` takes five times as long for a single draw."""
    return items[int(rng.random() * len(items))]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two bounds; ``Generator.uniform`` takes five times as long for a single draw."""
    return low + (high - low) * rng.random()
