"""A pair of arrays or of plain pictures."""
from hashlib import sha256
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from ..io.picture_file import Picture, read_picture
from ..io.radiometry import check_value_range, find_stretch
from .pair_source import Image, PairSource, PairTile, ReadOptions, file_origin
from .windows import Window


class ArrayPair(PairSource):
    """Two images in memory: arrays, or PNG and JPEG files. They must show the same ground pixel by pixel.

    Args:
        a: The earlier image: a file, or an array (H, W) or (H, W, bands) of any real type. NaN, or transparency in a
            file, marks missing data.
        b: The later image, of the same height and width.
        options: See :class:`~.pair_source.ReadOptions`; ``bands`` has no meaning for a picture.

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
