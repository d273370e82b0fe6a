"""What a model said about each image of a test set, kept in a folder: one small file an image."""
import hashlib
import json
import os
from pathlib import Path
from typing import Iterator, NamedTuple

import numpy as np

from ..io.files import whole_file

# To be raised whenever the content of a file changes its meaning: older results are then computed anew.
FORMAT = 1


class Record(NamedTuple):
    """One image.

    Attributes:
        name: Of the pair.
        image_a: Path of the earlier image.
        image_b: Path of the later image.
        truth: 0, 1 or 255 per pixel, (H, W) uint8.
        levels: Per way of testing, 'whole' and where possible 'tiles', the change probabilities as levels, (H, W).
    """
    name: str
    image_a: str
    image_b: str
    truth: np.ndarray
    levels: dict[str, np.ndarray]


class Store:
    """The folder of one evaluation.

    A file is complete or absent, so that an evaluation which was stopped goes on with the images that are missing.

    Args:
        folder: Where the files are.
        size: Number of images.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def missing(self) -> list[int]:
        """Indices of the images that have no file yet."""
        return [index for index in range(self.size) if not self._path(index).is_file()]

    def write(self, index: int, record: Record) -> None:
        """Store one image, as a whole or not at all."""
        fields = {f'levels_{way}': levels for way, levels in record.levels.items()}
        with whole_file(self._path(index)) as part:
            np.savez_compressed(part, name=record.name, image_a=record.image_a, image_b=record.image_b,
                                truth=record.truth, **fields)

    def read(self, index: int) -> Record:
        """Read one image."""
        with np.load(self._path(index)) as data:
            levels = {key[len('levels_'):]: data[key] for key in data.files if key.startswith('levels_')}
            return Record(*(str(data[key]) for key in ('name', 'image_a', 'image_b')), data['truth'], levels)

    def __iter__(self) -> Iterator[Record]:
        return (self.read(index) for index in range(self.size))

    def _path(self, index: int) -> Path:
        return self.folder / f'{index:06d}.npz'


def fingerprint(**parts: object) -> str:
    """Twelve hexadecimal digits that change with any of the parts, which must be JSON-able or have a text form."""
    text = json.dumps(dict(parts, format=FORMAT), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_state(path: str) -> list:
    """A file's path, size and time of change; what is not on a local disk is told by its path alone."""
    if not os.path.isfile(path):
        return [path]
    state = os.stat(path)
    return [path, state.st_size, state.st_mtime_ns]
