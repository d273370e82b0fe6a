"""The data sets that can be converted: where each of their releases keeps its files, and what they hold officially."""
from dataclasses import dataclass, field
from typing import NamedTuple

ROLES = ('A', 'B', 'label')
# The key of the user's own data, of which no official numbers are known.
OWN_DATA = 'folder'


class OfficialSplit(NamedTuple):
    """What a split holds officially.

    Attributes:
        images: Number of pairs; 1 where the split is one large raster.
        height, width: Size of each image in pixels.
    """

    images: int
    height: int
    width: int


@dataclass(frozen=True)
class Release:
    """Where one release of a data set keeps its files.

    Attributes:
        name: Name in messages.
        patterns: Regular expressions by role (A, B, label) for the end of a path without suffix; case is ignored.
            Groups: ``split``, and ``stem``, the name that the files of a pair share.
        columns: For a release with one raster for all splits: the first and the last but one column of each split.
    """

    name: str
    patterns: dict[str, str]
    columns: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetFacts:
    """One data set.

    Attributes:
        key: Name on the command line.
        title: Name in messages.
        splits: The official splits.
        releases: The known layouts; a file belongs to the first that matches it.
        edges: Default treatment of the borders, see ``tiling.tile_origins``.
        val_share: Share of the training split that is set aside for validation where the data set has no such split.
        rasters: Whether the images are rasters too large to decode as a whole for each tile.
        names: Pattern of the names of a split's pairs, counted from 1; None where it is not known.
    """

    key: str
    title: str
    splits: dict[str, OfficialSplit]
    releases: tuple[Release, ...]
    edges: str = 'shift'
    val_share: float = 0.
    rasters: bool = False
    names: str | None = None


def split_folders(a: str, b: str, label: str = 'label') -> Release:
    """The layout ``<split>/<folder>/<name>`` that most data sets share."""
    head, tail = '(?P<split>train|val|test)/', '/(?P<stem>[^/]+)'
    return Release(f'train|val|test / {a}, {b}, {label}',
                   {'A': head + a + tail, 'B': head + b + tail, 'label': head + label + tail})


def _splits(side: int, **images: int) -> dict[str, OfficialSplit]:
    """Splits of square images."""
    return {split: OfficialSplit(number, side, side) for split, number in images.items()}


# LEVIR-CD as its mirrors on Hugging Face and Google Drive unpack it: train.zip, val.zip and test.zip each hold A, B and
# label without a folder of the split, so that all splits may lie in one set of folders, told apart by their names.
_MERGED_LEVIR = Release('A, B, label with train_1, val_1, test_1 ...', {
    role: f'{role}/(?P<stem>(?P<split>train|val|test)_[^/]+)' for role in ROLES})

# `Building change detection dataset_add.zip`, the second release: one raster for each year and official area.
_WHU_AREAS = Release('2012, 2016 and change_label by area', {
    'A': '2012/whole_image/(?P<split>train|test)/image/2012_(?P=split)',
    'B': '2016/whole_image/(?P<split>train|test)/image/2016_(?P=split)',
    'label': 'change_label/(?P<split>train|test)/change_label'})
# `Building change detection dataset.zip`, the first release: one raster of 32507 x 15354 for each year. The official
# areas are cut out of it where the georeferences of the second release put them: its test raster starts 21242 pixels
# of 0.2 m east of the training raster, which is one pixel wider than that. That shared column goes to the test area.
_WHU_WHOLE = Release('before, after and change label as a whole', {
    'A': 'before/before', 'B': 'after/after', 'label': 'change[ _]label/change_label'},
    columns={'train': (0, 21242), 'test': (21242, 32507)})

CATALOG = {facts.key: facts for facts in (
    DatasetFacts(
        'levircd', 'LEVIR-CD',
        _splits(1024, train=445, val=64, test=128),
        (split_folders('A', 'B'), _MERGED_LEVIR), names='{split}_{number}'),
    DatasetFacts(
        'levircd_plus', 'LEVIR-CD+',
        _splits(1024, train=637, test=348),
        (split_folders('A', 'B'), ), val_share=0.1),
    DatasetFacts(
        # 7,434 tiles of 256 as most papers count them: with `shift`, the last column of the test raster, one pixel
        # wide, would make a second copy of almost 60 tiles.
        'whu_cd', 'WHU-CD', {'train': OfficialSplit(1, 15354, 21243), 'test': OfficialSplit(1, 15354, 11265)},
        (_WHU_AREAS, _WHU_WHOLE), edges='drop', val_share=0.1, rasters=True),
    DatasetFacts(
        'clcd', 'CLCD',
        _splits(512, train=360, val=120, test=120),
        (split_folders('time1', 'time2'), )),
    DatasetFacts(
        'sysu_cd', 'SYSU-CD',
        _splits(256, train=12000, val=4000, test=4000),
        (split_folders('time1', 'time2'), )),
    DatasetFacts(
        # `label` is the union of label1 (newly built, in blue) and label2 (demolished, in red).
        's2looking', 'S2Looking',
        _splits(1024, train=3500, val=500, test=1000),
        (split_folders('Image1', 'Image2'), )),
)}


def scaled_side(length: int, scale: float) -> int:
    """Pixels of an image's side after scaling.

    Raises:
        ValueError: If the factor is not between 1/16 and 16; beyond that nothing of an image is left, or all of it is
            made up.
    """
    if not 1 / 16 <= scale <= 16:
        raise ValueError(f'scale {scale:g}: expected a factor from 1/16 to 16, such as 2 for images of 1 m that shall '
                         'have pixels of 0.5 m')
    return max(1, round(length * scale))
