"""Where the tiles of an image lie, how many a data set gives, and which of them are set aside for validation."""
from dataclasses import dataclass, replace
from typing import NamedTuple

from .catalog import DatasetFacts
from .sources import Scene

EDGES = ('shift', 'drop')


def check_tiling(size: int, overlap: int, edges: str) -> None:
    """Refuse settings that make no tiles.

    Args:
        size: Side of a tile, px.
        overlap: Pixels that neighbouring tiles share, px.
        edges: ``'shift'`` or ``'drop'``, see :func:`tile_origins`.

    Raises:
        ValueError: With the setting and what it may be.
    """
    if size < 1:
        raise ValueError(f'tile size {size}: expected at least 1 pixel')
    if not 0 <= overlap < size:
        raise ValueError(f'overlap {overlap} of tiles of {size}: expected 0 to {size - 1} pixels')
    if edges not in EDGES:
        raise ValueError(f'edges {edges!r}: expected one of {", ".join(EDGES)}')


def tile_origins(length: int, size: int, overlap: int = 0, edges: str = 'shift') -> list[int]:
    """First pixels of the tiles along one axis.

    Args:
        length: Pixels along the axis.
        size: Side of a tile, px.
        overlap: Pixels that neighbouring tiles share, px.
        edges: What happens to pixels behind the last whole tile: ``'shift'`` adds a tile that ends with the image, so
            that every pixel is covered and some twice; ``'drop'`` leaves them out, so that without overlap no pixel
            is in two tiles.

    Raises:
        ValueError: If the image is smaller than one tile.
    """
    if length < size:
        raise ValueError(f'{length} pixels are less than one tile of {size}; choose a smaller tile size')
    origins = list(range(0, length - size + 1, size - overlap))
    if edges == 'shift' and origins[-1] + size < length:
        origins.append(length - size)
    return origins


def count_tiles(height: int, width: int, size: int, overlap: int = 0, edges: str = 'shift') -> int:
    """How many tiles an image gives."""
    return len(tile_origins(height, size, overlap, edges)) * len(tile_origins(width, size, overlap, edges))


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
        tiling: Size, overlap and borders of the tiles.
        width: Width of the training raster in pixels; not used for single images.
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
