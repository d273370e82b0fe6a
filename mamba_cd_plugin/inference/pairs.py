"""An image pair on one grid of pixels, read window by window, wherever it comes from."""
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..io.files import own_outputs
from ..io.listing import same_text

# Files, or what array_pair.py takes: arrays, masked arrays, tensors, Pillow's images.
Image = Any
# Read by Pillow, which needs no extra; every other file is rasterio's.
PICTURE_SUFFIXES = ('.png', '.jpg', '.jpeg')
IMAGE_SUFFIXES = (*PICTURE_SUFFIXES, '.tif', '.tiff', '.vrt', '.jp2', '.img')


class Span(NamedTuple):
    """A stretch of one axis, in pixels."""
    start: int
    stop: int


class Window(NamedTuple):
    """A rectangle of the image, in pixels of its grid."""
    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


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
            Refused for pictures (PNG, JPEG).
        bands_b: The same for B; None: as for A.
        value_range: Values that become 0 and 255; None: see :class:`~.radiometry.Stretch`.
        nodata: Pixels with this value in all bands have no data, in the place of the files' own nodata values.
    """
    bands: Sequence[int] | None = None
    bands_b: Sequence[int] | None = None
    value_range: tuple[float, float] | None = None
    nodata: float | None = None


class PairSource(ABC):
    """A pair of images on the pixel grid of A.

    Attributes:
        name: Name of the outputs.
        height: Rows of the grid.
        width: Columns of the grid.
        is_raster: Whether GDAL read it, so that the results are GeoTIFF and polygons, not pictures.
        crs: Coordinate reference system of the grid (rasterio's), None where it has none.
        transform: Affine map from (column, row) to coordinates; None where it has none.
        notes: Decisions about the images that the user should know.
        origin: Identity of the input: names, sizes and times of the files. JSON-serialisable.
    """

    name: str
    height: int
    width: int
    is_raster: bool = False
    crs: Any | None = None
    transform: Any | None = None
    notes: list[str]
    origin: dict

    @property
    def files(self) -> str:
        """What a message calls the pair: the paths of its files, or its name."""
        paths = [image['path'] for image in self.origin.values() if isinstance(image, dict) and 'path' in image]
        return ' and '.join(paths) or self.name

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


def open_pair(a: Image, b: Image, options: ReadOptions | None = None) -> PairSource:
    """Open a pair: two arrays, two pictures (PNG, JPEG), or two rasters of any kind that GDAL reads.

    Pictures that say where they lie, by a world file or an .aux.xml beside them, are rasters.

    Raises:
        ImportError: If a raster is to be opened without the extra ``geo``.
        ValueError, OSError: If the images cannot be read, or are no pair; the message says which and why.
    """
    from .array_pair import ArrayPair  # it builds on this module
    options = options or ReadOptions()
    files = [isinstance(image, (str, Path)) for image in (a, b)]
    if files[0] != files[1]:
        raise ValueError(f'expected two files or two arrays, got {type(a).__name__} and {type(b).__name__}')
    if not files[0]:
        return ArrayPair(a, b, options)
    paths = [Path(path) for path in (a, b)]
    if all(path.is_file() for path in paths) and paths[0].samefile(paths[1]):
        raise ValueError(f'A and B are the same file, {paths[0]}; expected the earlier and the later image of one '
                         'place')
    located = [sidecar(path) for path in paths]
    if all(path.suffix.lower() in PICTURE_SUFFIXES for path in paths) and not any(located):
        return ArrayPair(a, b, options)
    try:
        from .raster_pair import RasterPair
    except ImportError as error:
        where = ''.join(f'; {file} says where {path.name} lies' for path, file in zip(paths, located) if file)
        raise ImportError(f"reading {a} and {b} needs rasterio: pip install 'mamba_cd_plugin[geo]' "
                          f'({error}){where}') from error
    return RasterPair(paths[0], paths[1], options)


def sidecar(path: Path) -> Path | None:
    """The file beside a picture that says where it lies: a world file (.pgw, .jgw, .wld ...) or an .aux.xml."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return None
    kind = path.suffix.lower()
    world = [f'{kind[:2]}{kind[-1]}w', f'{kind}w', '.wld']
    for suffix in (*world, *map(str.upper, world)):
        if path.with_suffix(suffix).is_file():
            return path.with_suffix(suffix)
    auxiliary = path.with_name(f'{path.name}.aux.xml')  # GDAL also keeps histograms there
    text = auxiliary.read_text('utf-8', 'replace') if auxiliary.is_file() else ''
    return auxiliary if re.search(r'<(GeoTransform|SRS|GCPList)\b', text) else None


def find_pairs(a: str | Path, b: str | Path) -> list[tuple[Path, Path]]:
    """Two files as the only pair, or the images of two folders, paired by their names without the ending.

    Raises:
        FileNotFoundError: If one does not exist, a folder holds no image, or an image has no counterpart; all of them
            are named.
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
    if a.samefile(b):
        raise ValueError(f'A and B are the same folder, {a}; expected one with the earlier and one with the later '
                         'images')
    images_a, images_b = _images(a), _images(b)
    alone = sorted(map(str, [images_a[stem] for stem in images_a.keys() - images_b.keys()] +
                       [images_b[stem] for stem in images_b.keys() - images_a.keys()]))
    if alone:
        raise FileNotFoundError(f'{len(alone)} images have no counterpart of the same name in the other folder: '
                                f'{", ".join(alone[:5])}{" ..." if len(alone) > 5 else ""}')
    return [(images_a[stem], images_b[stem]) for stem in sorted(images_a)]


def _images(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names, without hidden files and without the results of earlier predictions."""
    made_here = own_outputs(folder)  # a mask of an earlier run is no image to predict
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = same_text(path.stem)
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith('.') or path.name in made_here:
            continue
        if name in found:
            raise ValueError(f'{found[name]} and {path} have the same name, but one pair needs one of each; '
                             'move one away')
        found[name] = path
    if not found:
        raise FileNotFoundError(f'{folder} holds no image (png, jpg, tif, vrt, jp2, img)')
    return found

