"""What a data set holds: its files, and what is measured of each pair in one pass over them."""
import hashlib
import os
import os.path as osp
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from ...datasets.pair_dataset import LEVIR_FOLDERS
from ...io.labels import read_label
from ...io.listing import read_names, sort_images
from ...io.pictures import read_picture, shorten, to_8_bits
from ..places import files_apart
from .registration import Shift, measure_shift

ROLES = tuple(LEVIR_FOLDERS.values())
# In this order a user expects them; others follow by name.
_USUAL_SPLITS = ('train', 'val', 'test')


@dataclass
class SplitListing:
    """The files of one split.

    Attributes:
        name: Name of the split.
        files: Paths by role (A, B, label) and name without suffix.
        strays: Files that are no images.
        doubles: Files whose name without suffix is there already.
        missing_folders: Folders that do not exist.
        unlisted: Names in the list of the split that no file has, where splits are lists.
    """

    name: str
    files: dict[str, dict[str, str]] = field(default_factory=lambda: {role: {} for role in ROLES})
    strays: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    missing_folders: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """All names that at least one file has, sorted."""
        return sorted(set().union(*self.files.values()))


def list_splits(root: str, splits: Sequence[str] | None = None) -> list[SplitListing]:
    """List each split of a data set.

    Two layouts are known: ``<split>/A|B|label``, and ``A|B|label`` with a ``list/<split>.txt`` for each split.

    Args:
        root: Folder of the data set.
        splits: Splits to list. Default None: all that are there.

    Raises:
        FileNotFoundError: If the folder or a split does not exist, or there is none.
    """
    if not osp.isdir(root):
        raise FileNotFoundError(f'{root} is not a folder')
    if any(osp.isdir(osp.join(root, role)) for role in ROLES):
        found = _splits_by_lists(root)
    else:
        folders = {name: osp.join(root, name) for name in _sorted(os.listdir(root))}
        found = {name: folder for name, folder in folders.items() if _holds_a_role(folder)}
    if not found:
        raise FileNotFoundError(f'{root} holds no data set: expected folders such as train with {", ".join(ROLES)} in '
                                f'them, found {shorten(sorted(os.listdir(root))) or "nothing"}')
    unknown = [name for name in splits or () if name not in found]
    if unknown:
        raise FileNotFoundError(f'{root} has no split {", ".join(unknown)}; there are {", ".join(found)}')
    return [_list_split(name, found[name], root) for name in splits or found]


def _splits_by_lists(root: str) -> dict[str, str]:
    """The list of each split; without lists one split with the name '' in the root itself."""
    folder = osp.join(root, 'list')
    names = os.listdir(folder) if osp.isdir(folder) else []
    lists = {osp.splitext(name)[0]: osp.join(folder, name) for name in names if name.endswith('.txt')}
    return {name: lists[name] for name in _sorted(list(lists))} or {'': root}


def _list_split(name: str, place: str, root: str) -> SplitListing:
    """`place` is the folder of the split, or its list of names."""
    listing = SplitListing(name)
    is_list = osp.isfile(place)
    for role in ROLES:
        folder = osp.join(root if is_list else place, role)
        if osp.isdir(folder):
            _list_folder(folder, role, listing)
        else:
            listing.missing_folders.append(folder)
    if is_list:
        _keep_listed(place, listing)
    return listing


def _list_folder(folder: str, role: str, listing: SplitListing) -> None:
    files = [osp.relpath(osp.join(place, file), folder) for place, _, names in os.walk(folder) for file in names]
    found, others, doubles = sort_images(files)
    listing.files[role] = {name: osp.join(folder, file) for name, file in found.items()}
    listing.strays += [osp.join(folder, file) for file in others]
    listing.doubles += [osp.join(folder, file) for _, file in doubles]


def _keep_listed(path: str, listing: SplitListing) -> None:
    """Reduce the files, which all splits share, to those of one list; files in no list are not reported."""
    wanted = read_names(path, listing.names)
    listing.unlisted = sorted(set(wanted) - set(listing.names))
    listing.files = {role: {name: paths[name] for name in wanted if name in paths}
                     for role, paths in listing.files.items()}


def _holds_a_role(folder: str) -> bool:
    return any(osp.isdir(osp.join(folder, role)) for role in ROLES)


def _sorted(names: Sequence[str]) -> list[str]:
    rank = {name: i for i, name in enumerate(_USUAL_SPLITS)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


@dataclass(frozen=True)
class FileFacts:
    """A file.

    Attributes:
        path: Path of the file.
        size: (width, height) in px; None where it cannot be read.
        mode: Pillow's name of its channels and bits.
        digest: Hash of the decoded pixels, so that PNG and TIFF of one picture agree.
        unreadable: Why it cannot be decoded.
        refused: Why it is not what an image or label has to be, though it can be decoded.
        missing: Share of the pixels of an image that are transparent or nodata.
    """

    path: str
    size: tuple[int, int] | None = None
    mode: str = ''
    digest: str = ''
    unreadable: str = ''
    refused: str = ''
    missing: float = 0.


@dataclass(frozen=True)
class PairFacts:
    """A pair.

    Attributes:
        split, name: Split and name of the pair.
        files: Existing files by role (A, B, label).
        blank: Share of black or white pixels by role (A, B), or 1. where there is only one colour.
        changed: Share of changed pixels; None without a valid label.
        changed_pixels: Their number.
        judged_pixels: Number of pixels that are not ignored.
        shift: Shift of B against A; None where it cannot be measured.
        apart: Which file lies elsewhere than the others by its georeference, and how far; '' if none.
    """

    split: str
    name: str
    files: dict[str, FileFacts]
    blank: dict[str, float]
    changed: float | None = None
    changed_pixels: int = 0
    judged_pixels: int = 0
    shift: Shift | None = None
    apart: str = ''


def measure_pair(split: str, name: str, paths: dict[str, str], ignore_value: int | None = None,
                 with_shift: bool = True, value_range: tuple[float, float] | None = None) -> PairFacts:
    """Read what there is of a pair and measure it; never raises for a bad file.

    Args:
        split: Split of the pair.
        name: Name of the pair.
        paths: Existing files by role (A, B, label).
        ignore_value: Value of label pixels without truth.
        with_shift: Whether to measure the registration, which takes most of the time.
        value_range: Values of the images that become 0 and 255, see :func:`~mamba_cd_plugin.io.pictures.read_rgb`.
    """
    files: dict[str, FileFacts] = {}
    images: dict[str, np.ndarray] = {}
    for role in ('A', 'B'):
        if role in paths:
            files[role], images[role] = _examine(paths[role], lambda path: _read_image(path, value_range))
    label = None
    if 'label' in paths:
        files['label'], label = _examine(paths['label'], lambda path: (read_label(path, ignore_value), 0.))
    images = {role: image for role, image in images.items() if image is not None}
    facts: dict[str, Any] = dict(blank={role: blank_share(image) for role, image in images.items()})
    if label is not None:
        changed, judged = int(np.count_nonzero(label == 1)), int(np.count_nonzero(label < 2))
        facts.update(changed=changed / judged if judged else 0., changed_pixels=changed, judged_pixels=judged)
    if with_shift and len({image.shape for image in images.values()}) == 1 and len(images) == 2:
        mask = label == 1 if label is not None and label.shape == images['A'].shape[:2] else None
        facts['shift'] = measure_shift(images['A'], images['B'], mask)
    facts['apart'] = files_apart({role: paths[role] for role in ROLES if role in paths})
    return PairFacts(split, name, files, **facts)


def blank_share(image: np.ndarray) -> float:
    """Share of pixels without content: black or white, or all of them where the image has one colour only."""
    if (image == image[:1, :1]).all():
        return 1.
    flat = image.reshape(-1, 3)
    low, high = flat.max(1) == 0, flat.min(1) == 255
    return max(int(low.sum()), int(high.sum())) / len(flat)


def _read_image(path: str, value_range: tuple[float, float] | None) -> tuple[np.ndarray, float]:
    picture = read_picture(path)
    return to_8_bits(picture.values, path, value_range), 1 - float(picture.valid.mean())


def _examine(path: str, reader: Callable[[str], tuple[np.ndarray, float]]) -> tuple[FileFacts, np.ndarray | None]:
    size, mode = _read_header(path)
    try:
        array, missing = reader(path)
    except OSError as error:
        return FileFacts(path, size, mode, unreadable=str(error)), None
    except ValueError as error:
        return FileFacts(path, size, mode, refused=str(error)), None
    return FileFacts(path, array.shape[1::-1], mode, digest(array), missing=missing), array


def digest(array: np.ndarray) -> str:
    """What tells one picture from another, whatever kind of file it came from."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16, key=str(array.shape).encode()).hexdigest()


def _read_header(path: str) -> tuple[tuple[int, int] | None, str]:
    try:
        with Image.open(path) as image:
            return image.size, image.mode
    except (OSError, Image.DecompressionBombError):
        return None, ''  # the reader says why


@dataclass
class SplitFacts:
    """A split: its files and what was measured of its pairs."""

    listing: SplitListing
    pairs: list[PairFacts]

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.listing.name

    def each_file(self, *roles: str) -> Iterator[tuple[PairFacts, FileFacts]]:
        """Every existing file of these roles with its pair."""
        for pair in self.pairs:
            for role in roles:
                if role in pair.files:
                    yield pair, pair.files[role]

    @property
    def labelled(self) -> list[PairFacts]:
        """The pairs with a valid label."""
        return [pair for pair in self.pairs if pair.changed is not None]

    @property
    def changed(self) -> float:
        """Share of changed pixels over all labels; ignored pixels do not count."""
        judged = sum(pair.judged_pixels for pair in self.pairs)
        return sum(pair.changed_pixels for pair in self.pairs) / judged if judged else 0.
