"""An image pair on one grid of pixels, read window by window, wherever it comes from."""
from abc import ABC, abstractmethod
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence, Union

import numpy as np

from ..io.files import own_outputs
from ..io.picture_file import Picture, read_picture
from ..io.radiometry import check_value_range, find_stretch

Image = Union[str, Path, np.ndarray]


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


# Read by Pillow, which needs no extra; every other file is rasterio's.
PICTURE_SUFFIXES = ('.png', '.jpg', '.jpeg')


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
    made_here = own_outputs(folder)  # a mask of an earlier run is no image to predict
    for path in sorted(folder.iterdir()):
        if path.name.startswith('.') or path.name in made_here:  # ._x.png is what macOS leaves beside x.png
            continue
        if path.suffix.lower() not in (*PICTURE_SUFFIXES, '.tif', '.tiff', '.vrt', '.jp2', '.img'):
            continue
        if path.stem in found:
            raise ValueError(f'{found[path.stem]} and {path} have the same name, but one pair needs one of each; '
                             'move one away')
        found[path.stem] = path
    if not found:
        raise FileNotFoundError(f'{folder} holds no image (png, jpg, tif, vrt, jp2, img)')
    return found


class ArrayPair(PairSource):
    """Two images in memory: arrays, or PNG and JPEG files. They must show the same ground pixel by pixel.

    Args:
        a: The earlier image: a file, or an array (H, W) or (H, W, bands) of any real type. NaN, or transparency in a
            file, marks missing data.
        b: The later image, of the same height and width.
        options: See :class:`~.pairs.ReadOptions`; ``bands`` has no meaning for a picture.

    Raises:
        ValueError: If an array is no image, is empty, or the two differ in size.
    """

    def __init__(self, a: Image, b: Image, options: ReadOptions) -> None:
        check_value_range(options.value_range)
        bands = options.bands, options.bands_b or options.bands
        loaded = [_load(image, wanted, label) for image, wanted, label in zip((a, b), bands, 'AB')]
        images = [picture.values for picture in loaded]
        self.height, self.width = images[0].shape[:2]
        if images[0].shape != images[1].shape:
            raise ValueError(f'A is {self.width} x {self.height} pixels, but B is {images[1].shape[1]} x '
                             f'{images[1].shape[0]}; without georeference two images must show the same ground pixel '
                             'by pixel. Cut or resample one to the other')
        self._valid = loaded[0].valid & loaded[1].valid
        self.notes = []
        self._pair = np.concatenate(
            [self._to_8_bits(image, label, options) for image, label in zip(images, 'AB')], axis=2)
        is_file = not isinstance(a, np.ndarray)
        self.name = Path(a).stem if is_file else 'pair'
        self.origin = dict(a=file_origin(Path(a)), b=file_origin(Path(b))) if is_file else dict(
            sha256=sha256(self._pair.tobytes() + self._valid.tobytes()).hexdigest())

    def _to_8_bits(self, image: np.ndarray, label: str, options: ReadOptions) -> np.ndarray:
        stretch = find_stretch(image, self._valid, options.value_range)
        if stretch is None:
            return image
        self.notes.append(f'{label}: {image.dtype} values are stretched to 8 bits: {stretch}')
        return stretch(image)

    def read(self, window: Window) -> PairTile:
        """One window at full resolution."""
        place = tuple(slice(*span) for span in window)
        return PairTile(self._pair[place], self._valid[place])

    def thumbnail(self, factor: int) -> PairTile:
        """The whole pair, every ``factor``-th pixel."""
        return PairTile(self._pair[::factor, ::factor], self._valid[::factor, ::factor])


def _load(image: Image, bands: Optional[Sequence[int]], label: str) -> Picture:
    """An image with three channels."""
    if not isinstance(image, np.ndarray):
        return read_picture(str(image))
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in 'uif':
        raise ValueError(f'{label}: expected an image (H, W) or (H, W, bands) of real numbers, at least one pixel, got '
                         f'{image.dtype} {image.shape}')
    image = image[..., None] if image.ndim == 2 else image
    chosen = list(bands or ((1, 2, 3) if image.shape[2] >= 3 else (1, )))
    if len(chosen) not in (1, 3) or not all(1 <= band <= image.shape[2] for band in chosen):
        raise ValueError(f'{label} has {image.shape[2]} bands; expected one or three band numbers from 1 to that, got '
                         f'{chosen}')
    values = image[..., [band - 1 for band in (chosen * 3 if len(chosen) == 1 else chosen)]]
    return Picture(values, np.isfinite(values).all(axis=2))
