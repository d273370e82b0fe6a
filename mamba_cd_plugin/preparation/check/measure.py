"""What is measured of each pair, in one pass over its three files."""
import hashlib
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np
from PIL import Image

from ...io.labels import read_label
from ...io.pictures import read_rgb
from .registration import Shift, measure_shift


@dataclass(frozen=True)
class FileFacts:
    """A file.

    Attributes:
        path: Of the file.
        size: (width, height) in px; None where it cannot be read.
        mode: Pillow's name of its channels and bits.
        digest: Of its decoded pixels, so that PNG and TIFF of one picture agree.
        unreadable: Why it cannot be decoded.
        refused: Why it is not what an image or label has to be, though it can be decoded.
    """

    path: str
    size: Optional[tuple[int, int]] = None
    mode: str = ''
    digest: str = ''
    unreadable: str = ''
    refused: str = ''


@dataclass(frozen=True)
class PairFacts:
    """A pair.

    Attributes:
        split, name: Which.
        files: By role (A, B, label), those that exist.
        blank: By role (A, B), share of pixels that are all black or all white, or 1. where there is only one colour.
        changed: Share of changed pixels; None without a valid label.
        changed_pixels: Their number.
        judged_pixels: Number of pixels that are not ignored.
        shift: Of B against A; None where it cannot be measured.
    """

    split: str
    name: str
    files: dict[str, FileFacts]
    blank: dict[str, float]
    changed: Optional[float] = None
    changed_pixels: int = 0
    judged_pixels: int = 0
    shift: Optional[Shift] = None


def measure_pair(split: str, name: str, paths: dict[str, str], ignore_value: Optional[int] = None,
                 with_shift: bool = True) -> PairFacts:
    """Read what there is of a pair and measure it; never raises for a bad file.

    Args:
        split: Its split.
        name: Its name.
        paths: By role (A, B, label), the files that exist.
        ignore_value: Value of label pixels without truth.
        with_shift: Whether to measure the registration, which takes most of the time.
    """
    files, images = {}, {}
    for role in ('A', 'B'):
        if role in paths:
            files[role], images[role] = _examine(paths[role], read_rgb)
    label = None
    if 'label' in paths:
        files['label'], label = _examine(paths['label'], lambda path: read_label(path, ignore_value))
    images = {role: image for role, image in images.items() if image is not None}
    facts = dict(blank={role: blank_share(image) for role, image in images.items()})
    if label is not None:
        changed, judged = int(np.count_nonzero(label == 1)), int(np.count_nonzero(label < 2))
        facts.update(changed=changed / judged if judged else 0., changed_pixels=changed, judged_pixels=judged)
    if with_shift and len({image.shape for image in images.values()}) == 1 and len(images) == 2:
        mask = label == 1 if label is not None and label.shape == images['A'].shape[:2] else None
        facts['shift'] = measure_shift(images['A'], images['B'], mask)
    return PairFacts(split, name, files, **facts)


def blank_share(image: np.ndarray) -> float:
    """Share of pixels without content: black or white, or all of them where the image has one colour only."""
    if (image == image[:1, :1]).all():
        return 1.
    flat = image.reshape(-1, 3)
    low, high = flat.max(1) == 0, flat.min(1) == 255
    return max(int(low.sum()), int(high.sum())) / len(flat)


def _examine(path: str, reader: Callable[[str], np.ndarray]) -> tuple[FileFacts, Optional[np.ndarray]]:
    size, mode = _read_header(path)
    try:
        array = reader(path)
    except OSError as error:
        return FileFacts(path, size, mode, unreadable=str(error)), None
    except ValueError as error:
        return FileFacts(path, size, mode, refused=str(error)), None
    digest = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16, key=str(array.shape).encode())
    return FileFacts(path, size, mode, digest.hexdigest()), array


def _read_header(path: str) -> tuple[Optional[tuple[int, int]], str]:
    try:
        with Image.open(path) as image:
            return image.size, image.mode
    except (OSError, Image.DecompressionBombError):
        return None, ''  # the reader says why
