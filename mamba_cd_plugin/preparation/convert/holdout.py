"""A validation split for data sets that have none, and how many tiles each split should give."""
from dataclasses import dataclass, replace
from typing import NamedTuple

from .catalog import DatasetFacts
from .scenes import Scene
from .tiling import check_tiling, count_tiles


@dataclass(frozen=True)
class Tiling:
    """How a data set is cut.

    Attributes:
        size: Side of a tile, px.
        overlap: Pixels that neighbouring tiles share, px.
        edges: See :func:`.tiling.tile_origins`.
        val_share: Share of the training split to set aside for validation; 0 for the official splits only.
    """

    size: int = 256
    overlap: int = 0
    edges: str = 'shift'
    val_share: float = 0.

    def __post_init__(self) -> None:
        check_tiling(self.size, self.overlap, self.edges)
        if not 0 <= self.val_share < 1:
            raise ValueError(f'val_share {self.val_share}: expected a share of the training split from 0 to below 1')

    def count(self, height: int, width: int) -> int:
        """How many tiles an image gives."""
        return count_tiles(height, width, self.size, self.overlap, self.edges)


class Expected(NamedTuple):
    """What a complete split holds after the conversion.

    Attributes:
        images: Pairs before the cut.
        tiles: Pairs after it.
    """

    images: int
    tiles: int


def expected_counts(facts: DatasetFacts, tiling: Tiling) -> dict[str, Expected]:
    """Images and tiles of each split of the complete data set, validation set aside.

    Raises:
        ValueError: If the official images are smaller than a tile, or nothing would be left to train or validate on.
    """
    counts = {}
    for split, (images, height, width) in facts.splits.items():
        if split == 'train' and _holds_out(facts, tiling):
            if facts.rasters:
                start = first_val_column(width, tiling)
                counts['train'] = Expected(1, tiling.count(height, start))
                counts['val'] = Expected(1, tiling.count(height, width - start))
            else:
                aside = _number_aside(images, tiling)
                each = tiling.count(height, width)
                counts['train'] = Expected(images - aside, (images - aside) * each)
                counts['val'] = Expected(aside, aside * each)
        else:
            counts[split] = Expected(images, images * tiling.count(height, width))
    return counts


def set_aside(scenes: dict[str, list[Scene]], facts: DatasetFacts, tiling: Tiling,
              width: int) -> dict[str, list[Scene]]:
    """Move the end of the training split to validation.

    Of a raster these are the last columns: in WHU-CD they lie between the training area and the test area, so that
    these two no longer touch. Of single images they are the last ones by number, which keeps neighbours together.

    Args:
        scenes: The scenes of each split.
        facts: The data set.
        tiling: How it is cut.
        width: Of the training raster, px; not used for single images.
    """
    if not _holds_out(facts, tiling):
        return scenes
    train = scenes['train']
    if not facts.rasters:
        keep = len(train) - _number_aside(len(train), tiling) if len(train) > 1 else len(train)
        return {**scenes, 'train': train[:keep], 'val': [replace(scene, split='val') for scene in train[keep:]]}
    start = first_val_column(width, tiling)
    first, last = [], []
    for scene in train:
        left, right = scene.columns or (0, width)
        first.append(replace(scene, columns=(left, left + start)))
        last.append(replace(scene, columns=(left + start, right), split='val', stem='val'))
    return {**scenes, 'train': first, 'val': last}


def first_val_column(width: int, tiling: Tiling) -> int:
    """Where the validation strip of a raster starts, on the border of a tile.

    Raises:
        ValueError: If the raster is too narrow to be divided.
    """
    whole = width // tiling.size
    aside = max(1, round(tiling.val_share * whole))
    if whole - aside < 1:
        raise ValueError(f'a raster {width} pixels wide cannot be divided into training and validation by tiles of '
                         f'{tiling.size}; choose smaller tiles or set val_share to 0')
    return (whole - aside) * tiling.size


def _number_aside(images: int, tiling: Tiling) -> int:
    return max(1, round(tiling.val_share * images))


def _holds_out(facts: DatasetFacts, tiling: Tiling) -> bool:
    return 'val' not in facts.splits and tiling.val_share > 0
