"""Windows of rasters that are too large to decode for each tile."""
import hashlib
import importlib.util
import os
import os.path as osp
from contextlib import contextmanager
from typing import Iterator, Protocol

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from ...io.files import whole_file
from .sources import SourceFile, unpack

# Rows of a raster that are copied at once.
_STRIP = 1024


class Raster(Protocol):
    """A raster open for reading.

    Attributes:
        shape: (H, W).
    """

    shape: tuple[int, int]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """A window: (h, w, 3) uint8 of an image, (h, w) of a label."""


def can_read_windows() -> bool:
    """Whether rasterio is installed."""
    return importlib.util.find_spec('rasterio') is not None


def stage_raster(file: SourceFile, scratch: str) -> str:
    """Path from which windows of the raster can be read, made below `scratch` if need be.

    A raster in a zip is unpacked. Without rasterio it is decoded as a whole, once, into an array file of which windows
    can be mapped into memory. Both are kept from one run to the next.

    Raises:
        OSError: If it cannot be unpacked or decoded.
        ValueError: If it does not hold 8 bits per channel.
    """
    info = os.stat(file.container)
    identity = f'{osp.abspath(file.container)} {file.member} {info.st_size} {info.st_mtime_ns}'
    base = osp.join(scratch, hashlib.sha1(identity.encode()).hexdigest()[:12])
    if can_read_windows():
        return _unpacked(file, base)
    array = f'{base}.npy'
    if not osp.isfile(array):
        path = _unpacked(file, base)
        _decode_to(path, array, file.label)
        if file.member is not None:
            os.remove(path)
    return array


@contextmanager
def open_raster(path: str) -> Iterator[Raster]:
    """Open what :func:`stage_raster` gave."""
    if path.endswith('.npy'):
        yield _MappedArray(path)
        return
    import rasterio  # here, because it is an optional dependency
    with rasterio.open(path) as dataset:
        yield _RasterioRaster(dataset, path)


class _MappedArray:

    def __init__(self, path: str) -> None:
        self.array = np.load(path, mmap_mode='r')
        self.shape = self.array.shape[:2]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        return np.array(self.array[rows, columns])


class _RasterioRaster:

    def __init__(self, dataset, path: str) -> None:
        self.dataset = dataset
        self.shape = (dataset.height, dataset.width)
        if dataset.dtypes[0] not in ('uint8', 'bool'):
            raise ValueError(f'{path}: pixels of type {dataset.dtypes[0]}, expected 8 bits per channel')

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        if self.dataset.count < 3:
            return self.dataset.read(1, window=window)
        return np.moveaxis(self.dataset.read((1, 2, 3), window=window), 0, -1)


def _unpacked(file: SourceFile, base: str) -> str:
    if file.member is None:
        return file.container
    path = base + osp.splitext(file.member)[1]
    if not osp.isfile(path):
        with whole_file(path) as part:
            unpack(file, str(part))
    return path


def _decode_to(path: str, target: str, label: str) -> None:
    with _without_pixel_limit():
        try:
            image = Image.open(path)
            width, height = image.size
            channels = (3, ) if image.mode in ('RGB', 'RGBA') else ()
            if image.mode not in ('RGB', 'RGBA', 'L', 'P', '1'):
                raise ValueError(f'{label}: pixels of Pillow mode {image.mode!r}, expected 8 bits per channel')
            print_log(f'rasterio is not installed: {label} is decoded as a whole ({width} x {height}, about '
                      f'{width * height * (4 if channels else 1) / 1e9:.1f} GB of memory) and kept as '
                      f'{width * height * (3 if channels else 1) / 1e9:.1f} GB in {osp.dirname(target)} until the '
                      "conversion is complete. With pip install 'mamba_cd_plugin[geo]' only windows are read.")
            image.load()
        except (OSError, SyntaxError) as error:
            raise OSError(f'{label}: cannot be read as an image: {error}. Replace it by a whole copy.') from error
    with whole_file(target, needed=width * height * (3 if channels else 1)) as part:
        array = np.lib.format.open_memmap(part, 'w+', np.uint8, (height, width, *channels))
        for top in range(0, height, _STRIP):
            strip = np.asarray(image.crop((0, top, width, min(top + _STRIP, height))))
            array[top:top + _STRIP] = strip[..., :3] if channels else strip
        array.flush()


@contextmanager
def _without_pixel_limit() -> Iterator[None]:
    """Pillow refuses images above 179 megapixels as a possible attack; a raster named by the user is none."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
