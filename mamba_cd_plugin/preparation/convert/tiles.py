"""Tiles of a scene, whether it is read as a whole or window by window."""
import hashlib
import os
import os.path as osp
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import cv2
import numpy as np

from ...io.files import whole_file
from ...io.labels import open_label, read_label, read_label_window
from ...io.pictures import IGNORE_INDEX, read_picture, to_8_bits
from ..places import ONE_GRID, files_apart
from .catalog import ROLES, scaled_side
from .sources import Scene, SourceFile, on_disk, unpack

# What a tile's label says of pixels without ground truth, beside 0 and 255; the data set needs it as its ignore_value.
STORED_IGNORED = 128

T = TypeVar('T')


class Tile(NamedTuple):
    """A square of a scene.

    Attributes:
        a, b: RGB images, (h, w, 3) uint8.
        label: (h, w) uint8, 0 unchanged, 1 changed and 255 ignored.
    """

    a: np.ndarray
    b: np.ndarray
    label: np.ndarray


class SceneReader(Protocol):
    """A scene open for reading.

    Attributes:
        shape: (H, W) of the part that belongs to the scene.
        missing: By image file, the share of its pixels that are transparent or nodata.
    """

    shape: tuple[int, int]
    missing: dict[str, float]

    def tile(self, top: int, left: int, size: int) -> Tile:
        """A square of the scene."""


@contextmanager
def open_scene(scene: Scene, scratch: str, value_range: tuple[float, float] | None = None,
               scale: float = 1., ignore_value: int | None = None,
               ignore_missing: bool = False) -> Iterator[SceneReader]:
    """Read the three files of a scene as a whole, members of zips by way of `scratch`.

    Args:
        scene: The scene.
        scratch: Folder for what is unpacked.
        value_range: Values of the images that become 0 and 255; needed where they have more than 8 bits.
        scale: Factor on the number of pixels along each side.
        ignore_value: The value in the labels that marks pixels without ground truth.
        ignore_missing: Whether the label ignores pixels that either image does not show (transparent, nodata, NaN).

    Raises:
        OSError: If a file cannot be decoded to its end.
        ValueError: If pixels or label values are not 8-bit and binary, or the sizes differ.
    """

    def read_image(path: str) -> tuple[np.ndarray, np.ndarray]:
        picture = read_picture(path)
        return to_8_bits(picture.values, path, value_range), picture.valid

    _check_places(scene)
    (a, valid_a), (b, valid_b) = (_read(scene.files[role], read_image, scratch) for role in 'AB')
    label = _read(scene.files['label'], lambda path: read_label(path, ignore_value), scratch)
    _check_sizes(scene, {role: array.shape[:2] for role, array in zip(ROLES, (a, b, label))})
    missing = {scene.files[role].label: float(1 - valid.mean())
               for role, valid in (('A', valid_a), ('B', valid_b)) if not valid.all()}
    if missing and ignore_missing:
        label = np.where(valid_a & valid_b, label, np.uint8(IGNORE_INDEX))
    if scale != 1:
        a, b, label = (_resized(array, scale) for array in (a, b, label))
    yield _WholeScene(Tile(a, b, label), missing)


@contextmanager
def open_scene_rasters(scene: Scene, paths: dict[str, str]) -> Iterator[SceneReader]:
    """Open the three rasters of a scene, which are too large to be decoded for each tile.

    Args:
        scene: The scene; its ``columns`` are the part that is read.
        paths: Paths by role, as returned by :func:`stage_raster`.

    Raises:
        ImportError: If rasterio is not installed.
        ValueError: If one is no 8-bit raster of its role, or the sizes differ.
    """
    try:
        from ...io.rasters import choose_bands, open_raster
    except ImportError as error:
        raise ImportError('reading parts of large rasters needs rasterio: '
                          f"pip install 'mamba_cd_plugin[geo]' ({error})") from error
    with ExitStack() as stack:
        rasters = {role: stack.enter_context(open_raster(Path(paths[role]))) for role in 'AB'}
        rasters['label'] = stack.enter_context(open_label(paths['label'], scene.files['label'].label))
        bands = {role: list(choose_bands(rasters[role], None).indexes) for role in 'AB'}
        for role, raster in rasters.items():
            name = scene.files[role].label
            if role != 'label' and raster.dtypes[0] != 'uint8':
                raise ValueError(f'{name}: pixels of type {raster.dtypes[0]}, expected 8 bits per channel')
            if role != 'label' and len(set(bands[role])) == 1:
                raise ValueError(f'{name}: one channel, expected red, green and blue')
        _check_sizes(scene, {role: raster.shape for role, raster in rasters.items()})
        yield _RasterScene(scene, rasters, bands)


def stage_raster(file: SourceFile, scratch: str) -> str:
    """Path of a raster on the disk; one in a zip is unpacked below `scratch`, and kept from one run to the next.

    Raises:
        OSError: If it cannot be unpacked.
    """
    if file.member is None:
        return file.container
    info = os.stat(file.container)
    identity = f'{osp.abspath(file.container)} {file.member} {info.st_size} {info.st_mtime_ns}'
    path = osp.join(scratch, hashlib.sha1(identity.encode()).hexdigest()[:12]) + osp.splitext(file.member)[1]
    if not osp.isfile(path):
        with whole_file(path) as part:
            unpack(file, str(part))
    return path


class _WholeScene:

    def __init__(self, arrays: Tile, missing: dict[str, float]) -> None:
        self.arrays, self.missing = arrays, missing
        self.shape = arrays.label.shape

    def tile(self, top: int, left: int, size: int) -> Tile:
        return Tile(*(array[top:top + size, left:left + size] for array in self.arrays))


class _RasterScene:

    missing: dict[str, float] = {}  # not looked for in rasters too large for memory

    def __init__(self, scene: Scene, rasters: dict[str, Any], bands: dict[str, list[int]]) -> None:
        self.rasters, self.bands = rasters, bands
        self.label_name = scene.files['label'].label
        height, width = rasters['A'].shape
        self.left, right = scene.columns or (0, width)
        self.shape = (height, right - self.left)

    def tile(self, top: int, left: int, size: int) -> Tile:
        left += self.left
        window = (top, top + size), (left, left + size)
        a, b = (np.moveaxis(self.rasters[role].read(self.bands[role], window=window), 0, -1) for role in 'AB')
        return Tile(a, b, read_label_window(self.rasters['label'], self.label_name, window=window))


def _resized(array: np.ndarray, scale: float) -> np.ndarray:
    """An image by cubic interpolation, or by means over areas where it shrinks; of a label the nearer class."""
    size = scaled_side(array.shape[1], scale), scaled_side(array.shape[0], scale)
    interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    if array.ndim == 3:
        return cv2.resize(array, size, interpolation=interpolation)
    changed, ignored = (cv2.resize((array == value).astype(np.float32), size, interpolation=interpolation) > 0.5
                        for value in (1, IGNORE_INDEX))
    return np.where(ignored, np.uint8(IGNORE_INDEX), changed.astype(np.uint8))


def _read(file: SourceFile, reader: Callable[[str], T], scratch: str) -> T:
    with on_disk(file, scratch) as path:
        try:
            return reader(path)
        except (OSError, ValueError) as error:  # named by where it came from, not by where it was unpacked
            raise type(error)(str(error).replace(path, file.label)) from error


def _check_places(scene: Scene) -> None:
    """Refuse GeoTIFFs of which one lies elsewhere: nobody could see it in the tiles."""
    apart = files_apart({role: scene.files[role].container for role in ROLES if scene.files[role].member is None})
    if apart:
        raise ValueError(f'{apart}, but pixels are taken as they come; {ONE_GRID}')


def _check_sizes(scene: Scene, shapes: dict[str, tuple[int, int]]) -> None:
    if len(set(shapes.values())) > 1:
        sizes = ', '.join(f'{role} is {width} x {height}' for role, (height, width) in shapes.items())
        raise ValueError(f'{scene.stem}: {sizes} pixels; expected one size. Replace what was cut or resized.')
