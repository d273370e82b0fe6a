"""All that the report counts of one run, from one pass over its stored images."""
import re
from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..engine.loops.protocol_test_loop import choose_protocols
from .evaluate import TILES, WHOLE
from .levels import Counts, histogram, over_thresholds
from .objects import Objects, find_objects, join
from .run import Run
from .store import Store
from .tiles import Tile, cut

# How tools/dataset_converters names the tile of a scene: its stem, row and column.
_TILE_NAME = re.compile(r'(.+)_\d+_\d+')
# Fewer scenes than this, and their resampling says nothing: the tiles are then taken one by one.
MIN_SCENES = 8


@dataclass
class Results:
    """What one run gave on a test set.

    Attributes:
        run: The run.
        store: Its stored maps.
        level: Of the threshold.
        names: Of the images.
        sizes: Heights and widths of the images.
        groups: Per image the scene that it was cut from, or its own name.
        histograms: Per protocol the levels of each image by truth, (N, 2, 256).
        reason: Why there are these protocols, in words.
        tiles: The tiles of all images, by the tiled protocol where there is one.
        objects: Of all images, by the first protocol.
    """
    run: Run
    store: Store
    level: int
    names: list[str]
    sizes: list[tuple[int, int]]
    groups: list[str]
    histograms: dict[str, np.ndarray]
    reason: str
    tiles: list[Tile]
    objects: Objects

    def counts(self, protocol: str) -> Counts:
        """Outcomes of each image at the threshold."""
        return over_thresholds(self.histograms[protocol]).at(self.level)

    def sweep(self, protocol: str) -> Counts:
        """Pooled outcomes at every threshold."""
        return over_thresholds(self.histograms[protocol].sum(axis=0))

    def same_images(self, other: 'Results') -> bool:
        """Whether another run was tested on the same images by the same protocols."""
        if self.names != other.names or self.histograms.keys() != other.histograms.keys():
            return False
        return all(np.array_equal(self.histograms[key].sum(axis=2), other.histograms[key].sum(axis=2))
                   for key in self.histograms)


def collect(run: Run, store: Store, level: int, tile: Optional[int]) -> Results:
    """Read every stored image once.

    Args:
        run: The run.
        store: Its evaluated test set.
        level: Of the threshold.
        tile: Side of the tiles in pixels; None to take each image as one.
    """
    names, sizes, tiles, objects = [], [], [], []
    histograms = {WHOLE: [], TILES: []}
    for index, record in enumerate(store):
        whole, tiled = record.levels[WHOLE], record.levels.get(TILES, record.levels[WHOLE])
        names.append(record.name)
        sizes.append(record.truth.shape)
        histograms[WHOLE].append(histogram(record.truth, whole))
        histograms[TILES].append(histogram(record.truth, tiled))
        tiles += cut(index, record.name, record.truth, tiled >= level, tile or max(record.truth.shape))
        objects.append(find_objects(record.truth, whole >= level))
    first, second, reason = choose_protocols(set(sizes), tile)
    protocols = {first: WHOLE, second: TILES} if second else {first: WHOLE}
    return Results(run, store, level, names, sizes, scenes(names, set(sizes) == {(tile, tile)}),
                   {name: np.stack(histograms[way]) for name, way in protocols.items()}, reason, tiles, join(objects))


def scenes(names: list[str], are_tiles: bool) -> list[str]:
    """What each image was cut from, if they are tiles named by our converters and of enough scenes; else itself."""
    found = [_TILE_NAME.fullmatch(name) for name in names]
    if not are_tiles or not all(found):
        return list(names)
    cut_from = [match.group(1) for match in found]
    return cut_from if len(set(cut_from)) >= MIN_SCENES else list(names)
