"""Windows of a pair, whether it is read as a whole or from rasters."""
from contextlib import ExitStack, contextmanager
from typing import Callable, Iterator, NamedTuple, Protocol

import numpy as np

from ...io.labels import binarize_label, read_label
from ...io.pictures import read_rgb
from .catalog import ROLES
from .rasters import Raster, open_raster
from .scenes import Scene
from .sources import SourceFile, on_disk


class Window(NamedTuple):
    """A tile.

    Attributes:
        a, b: RGB images, (h, w, 3) uint8.
        label: (h, w) uint8, 0 unchanged and 1 changed.
    """

    a: np.ndarray
    b: np.ndarray
    label: np.ndarray


class PairReader(Protocol):
    """A pair open for reading.

    Attributes:
        shape: (H, W) of the part that belongs to the scene.
    """

    shape: tuple[int, int]

    def window(self, top: int, left: int, size: int) -> Window:
        """A square of the pair."""


@contextmanager
def open_pair(scene: Scene, scratch: str) -> Iterator[PairReader]:
    """Read the three files of a scene as a whole, members of zips by way of `scratch`.

    Raises:
        OSError: If a file cannot be decoded to its end.
        ValueError: If pixels or label values are not 8-bit and binary, or the sizes differ.
    """
    readers = dict(A=read_rgb, B=read_rgb, label=read_label)
    arrays = {role: _read(scene.files[role], readers[role], scratch) for role in ROLES}
    _check_sizes(scene, {role: array.shape[:2] for role, array in arrays.items()})
    yield _WholePair(Window(arrays['A'], arrays['B'], arrays['label']))


@contextmanager
def open_raster_pair(scene: Scene, paths: dict[str, str]) -> Iterator[PairReader]:
    """Open the three rasters of a scene.

    Args:
        scene: The scene; its ``columns`` are the part that is read.
        paths: By role, what ``rasters.stage_raster`` gave.

    Raises:
        ValueError: If the sizes differ.
    """
    with ExitStack() as stack:
        rasters = {role: stack.enter_context(open_raster(paths[role])) for role in ROLES}
        _check_sizes(scene, {role: tuple(raster.shape) for role, raster in rasters.items()})
        yield _RasterPair(scene, rasters)


class _WholePair:

    def __init__(self, pair: Window) -> None:
        self.pair = pair
        self.shape = pair.label.shape

    def window(self, top: int, left: int, size: int) -> Window:
        return Window(*(array[top:top + size, left:left + size] for array in self.pair))


class _RasterPair:

    def __init__(self, scene: Scene, rasters: dict[str, Raster]) -> None:
        self.scene = scene
        self.rasters = rasters
        height, width = rasters['A'].shape
        self.left, right = scene.columns or (0, width)
        self.shape = (height, right - self.left)

    def window(self, top: int, left: int, size: int) -> Window:
        left += self.left
        place = slice(top, top + size), slice(left, left + size)
        a, b, label = (self.rasters[role].read(*place) for role in ROLES)
        for role, image in (('A', a), ('B', b)):
            if image.ndim != 3:
                raise ValueError(f'{self.scene.files[role].label}: one channel, expected red, green and blue')
        if label.ndim != 2:
            raise ValueError(f'{self.scene.files["label"].label}: {label.shape[2]} channels, expected one')
        return Window(a, b, binarize_label(label, self.scene.files['label'].label))


def _read(file: SourceFile, reader: Callable[[str], np.ndarray], scratch: str) -> np.ndarray:
    with on_disk(file, scratch) as path:
        try:
            return reader(path)
        except (OSError, ValueError) as error:  # named by where it came from, not by where it was unpacked
            raise type(error)(str(error).replace(path, file.label)) from error


def _check_sizes(scene: Scene, shapes: dict[str, tuple[int, int]]) -> None:
    if len(set(shapes.values())) > 1:
        sizes = ', '.join(f'{role} is {width} x {height}' for role, (height, width) in shapes.items())
        raise ValueError(f'{scene.stem}: {sizes} pixels; expected one size. Replace what was cut or resized.')
