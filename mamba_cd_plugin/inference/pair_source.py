"""An image pair on one grid of pixels, read window by window, wherever it comes from."""
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence, Union

import numpy as np

from .windows import Window

Image = Union[str, Path, np.ndarray]


class PairTile(NamedTuple):
    """A window of a pair.

    Attributes:
        pair: uint8 RGB (h, w, 6), A first.
        valid: Where both images have data, bool (h, w).
    """
    pair: np.ndarray
    valid: np.ndarray


class ReadOptions(NamedTuple):
    """How images are read.

    Attributes:
        bands: Numbers, from 1, of A's red, green and blue band, or of one grey band; None to choose by their names.
        bands_b: The same of B; None: as A.
        value_range: Values that become 0 and 255; None: see :class:`~.radiometry.Stretch`.
    """
    bands: Optional[Sequence[int]] = None
    bands_b: Optional[Sequence[int]] = None
    value_range: Optional[tuple[float, float]] = None


class PairSource(ABC):
    """A pair of images on the pixel grid of A.

    Attributes:
        name: What its outputs are called.
        height: Rows of the grid.
        width: Columns of the grid.
        is_raster: Whether GDAL read it, so that the results are GeoTIFF and polygons, not pictures.
        crs: Coordinate reference system of the grid (rasterio's), None where it has none.
        transform: Affine map from (column, row) to coordinates; None where it has none.
        notes: What was decided about the images and should be told.
        origin: What identifies the input: names, sizes and times of the files. JSON-serialisable.
    """

    name: str
    height: int
    width: int
    is_raster: bool = False
    crs: Optional[Any] = None
    transform: Optional[Any] = None
    notes: list[str]
    origin: dict

    @abstractmethod
    def read(self, window: Window) -> PairTile:
        """One window at full resolution."""

    @abstractmethod
    def thumbnail(self, factor: int) -> PairTile:
        """The whole pair, smaller by a whole factor: (ceil(H / factor), ceil(W / factor))."""

    def close(self) -> None:  # noqa: B027  not every source holds something open
        """Release the files."""

    def __enter__(self) -> 'PairSource':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def file_origin(path: Path) -> dict:
    """What tells one state of a file from another."""
    stat = path.stat()
    return dict(path=str(path.resolve()), size=stat.st_size, mtime_ns=stat.st_mtime_ns)
