"""Where the tiles of an image lie."""

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
