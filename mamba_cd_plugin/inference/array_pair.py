"""A pair of arrays or of plain pictures."""
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage

from ..io.pictures import Picture, read_picture, to_picture
from ..io.radiometry import (
    check_value_range,
    describe_collars,
    describe_missing,
    find_stretch,
    is_8_bits_in_disguise,
    is_unit_range_of_8_bits,
)
from .pairs import PairSource, PairTile, ReadOptions, Window, file_origin

# An axis of so many values or fewer can be that of the bands.
MAX_BANDS = 16
COLOURS = (1, 3, 4)  # grey, RGB, RGB and alpha or infrared


class ArrayPair(PairSource):
    """Two images in memory: arrays, or PNG and JPEG files. They must show the same ground pixel by pixel.

    Args:
        a: The earlier image: a file, Pillow's image, or an array, masked array or tensor of any real type: (H, W),
            (H, W, bands), or (bands, H, W). NaN, a mask, or transparency marks missing data.
        b: The later image, of the same height and width.
        options: See :class:`~.pairs.ReadOptions`; ``bands`` has no meaning for a picture.

    Raises:
        ValueError: If an array is no image, is empty, or the two differ in size.
    """

    def __init__(self, a: Any, b: Any, options: ReadOptions) -> None:
        check_value_range(options.value_range)
        bands = options.bands, options.bands_b or options.bands
        highest = max((band for wanted in bands for band in wanted or ()), default=0)
        loaded = [_load(image, wanted, highest, label) for image, wanted, label in zip((a, b), bands, 'AB')]
        images = [image.values for image in loaded]
        self.height, self.width = images[0].shape[:2]
        if images[0].shape != images[1].shape:
            names = [f'{label} ({image})' if isinstance(image, (str, Path)) else label
                     for label, image in zip('AB', (a, b))]
            raise ValueError(f'{names[0]} is {self.width} x {self.height} pixels, but {names[1]} is '
                             f'{images[1].shape[1]} x {images[1].shape[0]}; without georeference two images must show '
                             'the same ground pixel by pixel. Cut or resample one to the other')
        self.notes = [f'{label}: {image.note}' for label, image in zip('AB', loaded) if image.note]
        valid = [image.valid if options.nodata is None else image.valid & (image.values != options.nodata).any(axis=2)
                 for image in loaded]
        for label, image, known in zip('AB', images, valid):
            notes = describe_missing(known, 'transparent, masked, NaN or --nodata'), *describe_collars(image, known)
            self.notes += [f'{label}: {note}' for note in notes if note]
        if np.array_equal(images[0], images[1]):
            self.notes.append('A and B hold the same values: are they two copies of one image?')
        self._valid = valid[0] & valid[1]
        self._pair = np.concatenate(self._to_8_bits(images, options), axis=2)
        is_file = isinstance(a, (str, Path))
        self.name = Path(a).stem if is_file else 'pair'
        self.origin = dict(a=file_origin(Path(a)), b=file_origin(Path(b))) if is_file else dict(
            sha256=sha256(self._pair.tobytes() + self._valid.tobytes()).hexdigest())

    def _to_8_bits(self, images: list[np.ndarray], options: ReadOptions) -> list[np.ndarray]:
        """The images as uint8. Whole numbers 0..255, and such numbers divided by 255, are taken for 8 bits."""
        if options.value_range is None:
            eight = [image.dtype == np.uint8 or is_8_bits_in_disguise(image, self._valid) for image in images]
            unit = [is_unit_range_of_8_bits(image, self._valid) for image in images]
            if all(one or other for one, other in zip(eight, unit)):
                self.notes += [f'{label}: {image.dtype} values of {"0..1" if small else "0..255"} are taken as those '
                               'of an 8-bit image (value_range stretches them)'
                               for label, image, small in zip('AB', images, unit) if image.dtype != np.uint8]
                return [np.rint(np.nan_to_num(image) * (255 if small else 1)).astype(np.uint8)
                        for image, small in zip(images, unit)]
        stretched = []
        for label, image in zip('AB', images):
            stretch = find_stretch(image, self._valid, options.value_range)
            if stretch is not None:
                self.notes.append(f'{label}: {image.dtype} values are stretched to 8 bits: {stretch}')
            stretched.append(image if stretch is None else stretch(image))
        return stretched

    def read(self, window: Window) -> PairTile:
        """One window at full resolution."""
        place = tuple(slice(*span) for span in window)
        return PairTile(self._pair[place], self._valid[place])

    def thumbnail(self, factor: int) -> PairTile:
        """The whole pair, every ``factor``-th pixel."""
        return PairTile(self._pair[::factor, ::factor], self._valid[::factor, ::factor])


def _load(image: Any, bands: Sequence[int] | None, highest: int, label: str) -> Picture:
    """An image with three channels."""
    if isinstance(image, (str, Path, PillowImage.Image)):
        if bands is not None:
            name = image if isinstance(image, (str, Path)) else label
            raise ValueError(f'{name}: is a picture, whose red, green and blue are known; --bands '
                             f'{" ".join(map(str, bands))} is for rasters and arrays. Leave it out, or convert the '
                             'picture: gdal_translate -of GTiff')
        return to_picture(image, label) if isinstance(image, PillowImage.Image) else read_picture(str(image))
    array, note = _bands_last(_as_array(image, label), highest, label)
    chosen = list(bands or ((1, 2, 3) if array.shape[2] >= 3 else (1, )))
    if len(chosen) not in (1, 3) or not all(1 <= band <= array.shape[2] for band in chosen):
        raise ValueError(f'{label} has {array.shape[2]} bands; expected one or three band numbers from 1 to that, got '
                         f'{chosen}')
    picked = array[..., [band - 1 for band in (chosen * 3 if len(chosen) == 1 else chosen)]]
    values = np.ma.getdata(picked)
    valid = np.isfinite(values).all(axis=2) & ~np.ma.getmaskarray(picked).all(axis=2)
    if array.shape[2] == 4 and bands is None:
        note = '; '.join(filter(None, [note, 'its fourth band is not used']))
    return Picture(values, valid, note)


def _as_array(image: Any, label: str) -> np.ndarray:
    """The input as an array; a masked array stays masked."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.dtype in (torch.bfloat16, torch.float16) else image).numpy()
    elif not isinstance(image, np.ndarray):
        if not isinstance(image, PillowImage.Image) and not hasattr(image, '__array__'):
            raise ValueError(f'{label}: expected a file, an array, a tensor or an image, got {type(image).__name__}')
        image = np.asarray(image)
    if image.ndim not in (2, 3, 4) or 0 in image.shape or image.dtype.kind not in 'uif':
        raise ValueError(f'{label}: expected an image (H, W), (H, W, bands) or (bands, H, W) of real numbers, at least '
                         f'one pixel, got {image.dtype} {image.shape}')
    if image.ndim == 4:
        if len(image) != 1:
            raise ValueError(f'{label}: got a batch of {len(image)} images, {image.dtype} {image.shape}; expected one '
                             'image. Hand over a list of pairs: [(a, b) for a, b in zip(batch_a, batch_b)]')
        image = image[0]
    return image[..., None] if image.ndim == 2 else image


def _bands_last(array: np.ndarray, highest: int, label: str) -> tuple[np.ndarray, str]:
    """The array as (H, W, bands), and what was decided about its axes, of which one holds the ``highest`` band."""
    first, last = array.shape[0], array.shape[2]
    if last in COLOURS or first < highest <= last:
        return array, ''
    note = f'an array of {array.shape} is taken as (bands, H, W)'
    if first in COLOURS or first < last and first <= MAX_BANDS:
        return np.moveaxis(array, 0, 2), note
    if last <= MAX_BANDS or last < min(array.shape[:2]):
        return array, ''
    raise ValueError(f'{label}: expected an image (H, W, bands) or (bands, H, W), got {array.dtype} {array.shape}, of '
                     f'which no axis can be the bands. Select three of them, or move that axis to the end')
