"""An image pair on one grid of pixels, read window by window, wherever it comes from."""
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence, Union

import numpy as np

from .windows import Window

# Read by Pillow, which needs no extra; every other file is rasterio's.
PICTURE_SUFFIXES = ('.png', '.jpg', '.jpeg')

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


def open_pair(a: Image, b: Image, options: Optional[ReadOptions] = None) -> PairSource:
    """Open a pair: two arrays, two pictures (PNG, JPEG), or two rasters of any kind that GDAL reads.

    Raises:
        ImportError: If a raster is to be opened without the extra ``geo``.
        ValueError, OSError: If the images cannot be read, or are no pair; the message says which and why.
    """
    options = options or ReadOptions()
    if isinstance(a, np.ndarray) != isinstance(b, np.ndarray):
        raise ValueError(f'expected two files or two arrays, got {type(a).__name__} and {type(b).__name__}')
    if isinstance(a, np.ndarray) or all(Path(path).suffix.lower() in PICTURE_SUFFIXES for path in (a, b)):
        from .array_pair import ArrayPair
        return ArrayPair(a, b, options)
    try:
        from .raster_pair import RasterPair
    except ImportError as error:
        raise ImportError(f"reading {a} and {b} needs rasterio: pip install 'mamba_cd_plugin[geo]' "
                          f'({error})') from error
    return RasterPair(Path(a), Path(b), options)


def find_pairs(a: Union[str, Path], b: Union[str, Path]) -> list[tuple[Path, Path]]:
    """Two files as the only pair, or the images of two folders, paired by their names without the ending.

    Raises:
        FileNotFoundError: If one does not exist, a folder holds no image, or an image has no mate; all of them are
            named.
        ValueError: If a file stands against a folder, or a folder has two images of one name.
    """
    a, b = Path(a), Path(b)
    for path in (a, b):
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist')
    if a.is_file() and b.is_file():
        return [(a, b)]
    if a.is_file() or b.is_file():
        raise ValueError(f'expected two files or two folders, got one of each: {a} and {b}')
    mates_a, mates_b = _images(a), _images(b)
    alone = sorted(map(str, [mates_a[stem] for stem in mates_a.keys() - mates_b.keys()] +
                       [mates_b[stem] for stem in mates_b.keys() - mates_a.keys()]))
    if alone:
        raise FileNotFoundError(f'{len(alone)} images have no mate of the same name in the other folder: '
                                f'{", ".join(alone[:5])}{" ..." if len(alone) > 5 else ""}')
    return [(mates_a[stem], mates_b[stem]) for stem in sorted(mates_a)]


def _images(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (*PICTURE_SUFFIXES, '.tif', '.tiff', '.vrt', '.jp2', '.img'):
            continue
        if path.stem in found:
            raise ValueError(f'{found[path.stem]} and {path} have the same name, but one pair needs one of each; '
                             'move one away')
        found[path.stem] = path
    if not found:
        raise FileNotFoundError(f'{folder} holds no image (png, jpg, tif, vrt, jp2, img)')
    return found


def file_origin(path: Path) -> dict:
    """What tells one state of a file from another."""
    stat = path.stat()
    return dict(path=str(path.resolve()), size=stat.st_size, mtime_ns=stat.st_mtime_ns)
