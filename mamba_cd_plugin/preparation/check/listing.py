"""The files of a data set in the layout of LEVIR-CD, complete or not."""
import os
import os.path as osp
from dataclasses import dataclass, field
from typing import Optional, Sequence

from ...datasets.pair_dataset import LEVIR_FOLDERS
from ...io.listing import read_names, sort_images
from ...io.pictures import shorten

ROLES = tuple(LEVIR_FOLDERS.values())
# In this order a user expects them; others follow by name.
_USUAL_SPLITS = ('train', 'val', 'test')


@dataclass
class SplitListing:
    """The files of one split.

    Attributes:
        name: Of the split.
        files: By role (A, B, label) and name without suffix, the path.
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


def list_splits(root: str, splits: Optional[Sequence[str]] = None) -> list[SplitListing]:
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
    """By split its list; without lists one split of the name '' in the root itself."""
    folder = osp.join(root, 'list')
    names = os.listdir(folder) if osp.isdir(folder) else []
    lists = {osp.splitext(name)[0]: osp.join(folder, name) for name in names if name.endswith('.txt')}
    return {name: lists[name] for name in _sorted(lists)} or {'': root}


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
    """Reduce the files, which all splits share, to those of one list. What is in no list is nobody's fault."""
    wanted = read_names(path, listing.names)
    listing.unlisted = sorted(set(wanted) - set(listing.names))
    listing.files = {role: {name: paths[name] for name in wanted if name in paths}
                     for role, paths in listing.files.items()}


def _holds_a_role(folder: str) -> bool:
    return any(osp.isdir(osp.join(folder, role)) for role in ROLES)


def _sorted(names: Sequence[str]) -> list[str]:
    rank = {name: i for i, name in enumerate(_USUAL_SPLITS)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))
