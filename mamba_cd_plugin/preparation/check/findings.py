"""The checks: one function for each kind of finding, over one split or over all."""
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..places import ONE_GRID
from .facts import ROLES, SplitFacts

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
LEVELS = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Limits:
    """Limits above which something is reported. Lengths in px, shares from 0 to 1.

    Attributes:
        max_shift: Largest shift of one pair.
        max_common_shift: Largest median shift of a split: a shift that all pairs share is a mistake of processing, or
            can be undone.
        min_certainty: Least certainty of a shift, see :class:`.registration.Shift`.
        near_share: Radius, as a share of the shorter side, within which shifts of pairs of the same ground lie.
        min_matched: Share of the pairs of a split whose shifts do so. For real dates it is 0.96 in images of 512 px,
            0.84 of 256, 0.67 of 128 and 0.52 of 64; for images of different places 0.05 to 0.16.
        max_changed: Share of changed pixels.
        max_blank: Share of black or white pixels in an image.
        sliver: Changed pixels that are next to none, as a share of the tile: 33 pixels of a tile of 256.
    """

    max_shift: float = 2.
    max_common_shift: float = 1.
    min_certainty: float = 10.
    near_share: float = 1 / 16
    min_matched: float = 0.35
    max_changed: float = 0.5
    max_blank: float = 0.5
    sliver: float = 5e-4


@dataclass(frozen=True)
class Finding:
    """Something to know about a data set.

    Attributes:
        check: Name of the check.
        level: ``error``: training fails or its score is wrong; ``warning``: it may be; ``note``: good to know.
        split: Where, '' for several splits.
        message: Description of the problem and its remedy.
        names: The pairs or files, all of them.
    """

    check: str
    level: str
    split: str
    message: str
    names: list[str] = field(default_factory=list)


def find_interrupted_conversions(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Splits that a conversion has not finished."""
    if split.name.endswith('.partial'):
        yield Finding('interrupted', ERROR, split.name, 'the conversion of this split was interrupted or lacks files '
                      'of the download; run the same command again')


def find_missing_folders(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Roles without a folder."""
    for folder in split.listing.missing_folders:
        yield Finding('missing_folder', ERROR, split.name, 'the folder does not exist; add it, or set data_prefix of '
                      'the data set to where these files are', [folder])


def find_missing_counterparts(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Pairs that lack one or two of their three files."""
    names = split.listing.names + split.listing.unlisted
    for role in ROLES:
        lacking = [name for name in names if name not in split.listing.files[role]]
        if lacking and len(lacking) < len(names):
            yield Finding('missing_counterpart', ERROR, split.name, f'no file in {role}, though the others or the list '
                          'of the split have the name; add it or remove its counterparts', lacking)


def find_extra_files(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Files that are no images, and second files of one name."""
    if split.listing.strays:
        yield Finding('extra_file', WARNING, split.name, 'not an image, so that it is left out; remove it, or convert '
                      'it to PNG', split.listing.strays)
    if split.listing.doubles:
        yield Finding('extra_file', ERROR, split.name, 'a second file of the same name with another suffix, so that it '
                      'is not clear which belongs to the pair; remove one', split.listing.doubles)


def find_unreadable_files(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Files that cannot be decoded to their end."""
    broken = [file for _, file in split.each_file(*ROLES) if file.unreadable]
    if broken:
        yield Finding('unreadable', ERROR, split.name, 'cannot be decoded; replace it. The first: '
                      f'{broken[0].unreadable}', [file.path for file in broken])


# Channels that Pillow calls so are what the pipeline reads without dropping or inventing any.
_IMAGE_MODES = ('RGB', 'RGBA', 'P', 'PA')
_LABEL_MODES = ('L', '1', 'P')


def find_unequal_sizes(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Pairs whose files differ in size."""
    unequal = {pair.name: {role: file.size for role, file in pair.files.items() if file.size} for pair in split.pairs}
    unequal = {name: sizes for name, sizes in unequal.items() if len(set(sizes.values())) > 1}
    if unequal:
        name, sizes = next(iter(unequal.items()))
        shown = ', '.join(f'{role} {width} x {height}' for role, (width, height) in sizes.items())
        yield Finding('unequal_size', ERROR, split.name, f'the files of a pair differ in size ({name}: {shown}); cut '
                      'or resample them alike', list(unequal))


def find_files_apart(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Pairs of which a file lies elsewhere by its georeference, though all are taken pixel by pixel."""
    apart = {pair.name: pair.apart for pair in split.pairs if pair.apart}
    if apart:
        name, what = next(iter(apart.items()))
        yield Finding('apart', ERROR, split.name, f'the files of a pair lie in different places ({name}: {what}), but '
                      'training takes them pixel by pixel; ' + ONE_GRID, list(apart))


def find_odd_sizes(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Pairs of another size than most of the split, which do not fit into one batch with them."""
    sizes = {pair.name: pair.files['A'].size for pair in split.pairs if 'A' in pair.files and pair.files['A'].size}
    if len(set(sizes.values())) > 1:
        usual = Counter(sizes.values()).most_common(1)[0][0]
        odd = [name for name, size in sizes.items() if size != usual]
        yield Finding('odd_size', WARNING, split.name, f'not {usual[0]} x {usual[1]} px as most pairs of the split, so '
                      'that a batch cannot hold both; use a pipeline that crops, or batch_size=1 for validation', odd)


def find_wrong_modes(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Images that are not 8-bit RGB, and labels of more than one channel."""
    deep = [file for _, file in split.each_file('A', 'B') if file.refused]
    if deep:
        yield Finding('mode', ERROR, split.name, f'not an 8-bit image. The first: {deep[0].refused}',
                      [file.path for file in deep])
    for roles, modes, effect in ((('A', 'B'), _IMAGE_MODES, 'grey is repeated to three channels'),
                                 (('label', ), _LABEL_MODES, 'only labels of which all channels agree can be read')):
        odd = [file for _, file in split.each_file(*roles) if file.mode and file.mode not in modes and not file.refused]
        if odd:
            found = ', '.join(sorted({file.mode for file in odd}))
            yield Finding('mode', WARNING, split.name, f'pixels of mode {found}, expected {" or ".join(modes)}; '
                          f'{effect}', [file.path for file in odd])


def find_missing_data(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Images with pixels that are transparent or nodata."""
    holes = sorted((file.missing, file.path) for _, file in split.each_file('A', 'B') if file.missing > 0)
    if holes:
        share, path = holes[-1]
        yield Finding('missing_data', WARNING, split.name, f'up to {share:.1%} of an image is transparent or nodata '
                      f'(most in {path}): training reads these pixels as ground, prediction leaves them out; give '
                      'them the ignore_value in the labels, as mamba-cd prepare folder does',
                      [path for _, path in holes])


def find_blank_images(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Images that are black, white or of one colour for the most part."""
    blank = [pair.files[role].path for pair in split.pairs for role, share in pair.blank.items()
             if share > limits.max_blank]
    if blank:
        yield Finding('blank_image', WARNING, split.name, f'more than {limits.max_blank:.0%} of the image is black, '
                      'white or one colour: the border of a scene, or a failed conversion; leave the pair out', blank)


def find_identical_dates(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Pairs whose two images are one and the same."""
    same = [pair for pair in split.pairs
            if {'A', 'B'} <= pair.files.keys() and pair.files['A'].digest == pair.files['B'].digest != ''
            and pair.blank.get('A', 0) <= limits.max_blank]
    if same:
        changed = sum(pair.changed_pixels > 0 for pair in same)
        yield Finding('identical_dates', ERROR if changed else WARNING, split.name, 'A and B are the same picture, '
                      f'though {changed} of these labels mark a change; replace the one that is wrong',
                      [pair.name for pair in same])


def find_wrong_label_values(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Labels with other values than 0 and 1, or 0 and 255."""
    wrong = [file for _, file in split.each_file('label') if file.refused]
    if wrong:
        yield Finding('label_values', ERROR, split.name, f'not a binary label. The first: {wrong[0].refused}',
                      [file.path for file in wrong])


def find_splits_without_change(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Splits of which no label marks a change."""
    if split.labelled and not any(pair.changed_pixels for pair in split.pairs):
        yield Finding('no_change', ERROR, split.name, f'none of {len(split.labelled)} labels marks a change: a model '
                      'learns to predict nothing, and F1 is undefined. Check how the labels were made')


def find_inverted_labels(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Labels that mark more changed than unchanged ground."""
    if split.changed > limits.max_changed:
        yield Finding('inverted', ERROR, split.name, f'{split.changed:.1%} of all pixels are marked as changed: the '
                      'labels seem to be inverted; exchange 0 and the other value')
        return
    inverted = [pair for pair in split.labelled if pair.changed > limits.max_changed]
    if inverted:
        most = max(inverted, key=lambda pair: pair.changed)
        yield Finding('inverted', WARNING, split.name, f'more than {limits.max_changed:.0%} of the tile is marked as '
                      f'changed (up to {most.changed:.1%}, in {most.name}): inverted, unless one building fills it',
                      [pair.name for pair in inverted])


def find_slivers(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Labels with next to no changed pixel, as tiling leaves them at the edge of a building."""
    few = [pair for pair in split.labelled if 0 < pair.changed <= limits.sliver]
    if few:
        yield Finding('near_empty', NOTE, split.name, f'at most {limits.sliver:.2%} of the tile is marked as changed: '
                      'too little to learn or to detect, though each counts as a tile with change',
                      [pair.name for pair in few])


def find_duplicates(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Pairs of one split with the same two images."""
    groups = defaultdict(list)
    for pair in split.pairs:
        digests = tuple(pair.files[role].digest for role in ('A', 'B') if role in pair.files)
        if len(digests) == 2 and all(digests) and max(pair.blank.values()) <= limits.max_blank:
            groups[digests].append(pair)
    repeated = [group for group in groups.values() if len(group) > 1]
    if repeated:
        conflicts = sum(len({pair.files['label'].digest for pair in group if 'label' in pair.files}) > 1
                        for group in repeated)
        yield Finding('duplicate', ERROR if conflicts else WARNING, split.name, f'{len(repeated)} pairs are there more '
                      f'than once, {conflicts} of them with different labels; keep one of each',
                      [' = '.join(pair.name for pair in group) for group in repeated])


def find_leaks(splits: list[SplitFacts], limits: Limits) -> Iterator[Finding]:
    """Images that two splits share, under whatever name and as whichever date."""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for split in splits:
        for pair in split.pairs:
            for role in ('A', 'B'):
                if role in pair.blank and pair.blank[role] <= limits.max_blank:
                    places[pair.files[role].digest].setdefault(split.name, f'{split.name}/{role}/{pair.name}')
    shared = defaultdict(list)
    for place in places.values():
        if len(place) > 1:
            shared[tuple(place)].append(' = '.join(place.values()))
    for names, images in shared.items():
        yield Finding('leak', ERROR, '', f'{" and ".join(names)} share {len(images)} images: the score on one '
                      'rewards memorising the other; remove them from the training split', images)


# With fewer measured pairs, a median or a share says nothing about the split.
_FEWEST_FOR_MEDIAN, _FEWEST_FOR_SHARE = 5, 20


def measured_shifts(split: SplitFacts, limits: Limits) -> list:
    """Names and shifts of the pairs whose shift is certain."""
    return [(pair.name, pair.shift) for pair in split.pairs
            if pair.shift is not None and pair.shift.certainty >= limits.min_certainty]


def common_shift(split: SplitFacts, limits: Limits) -> tuple[float, float] | None:
    """Median of the shifts of a split, (dx, dy) in px; None where too few are certain."""
    shifts = measured_shifts(split, limits)
    if len(shifts) < _FEWEST_FOR_MEDIAN:
        return None
    return float(np.median([shift.dx for _, shift in shifts])), float(np.median([shift.dy for _, shift in shifts]))


def find_common_shift(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """A shift that all pairs of a split have."""
    common = common_shift(split, limits)
    if common and np.hypot(*common) > limits.max_common_shift:
        yield Finding('common_shift', WARNING, split.name, f'B lies {common[0]:+.1f} px to the right and '
                      f'{common[1]:+.1f} px down of A in the median over the split: probably one mistake for all, '
                      'such as different crops; shift B back')


def find_shifted_pairs(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Pairs with a shift of their own, beyond that of the split."""
    common = common_shift(split, limits) or (0., 0.)
    if np.hypot(*common) <= limits.max_common_shift:
        common = (0., 0.)  # not a finding, so that each pair is judged by all of its shift
    shifted = [(shift.distance_to(common), name, shift) for name, shift in measured_shifts(split, limits)]
    shifted = sorted(item for item in shifted if item[0] > limits.max_shift)[::-1]
    if shifted:
        _, worst, shift = shifted[0]
        yield Finding('misregistered', WARNING, split.name, f'B lies more than {limits.max_shift:g} px beside A (most '
                      f'in {worst}: {shift.dx:+.1f}, {shift.dy:+.1f} px), or its buildings lean another way: edges '
                      'look like change; co-register the pair, or expect lower scores',
                      [name for _, name, _ in shifted])


def find_unmatched_pairs(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Splits in which A and B mostly do not show the same ground.

    Where they do, the best shifts gather around one place, even those that are not certain. Where they do not, they are
    scattered over all that is searched, and 5 to 16 % of them lie near the middle by chance.
    """
    common = common_shift(split, limits) or (0., 0.)
    tried = [pair for pair in split.pairs if pair.shift is not None and max(pair.blank.values()) <= limits.max_blank]
    astray = [pair for pair in tried
              if pair.shift.distance_to(common) > limits.near_share * min(pair.files['A'].size)]
    if len(tried) >= _FEWEST_FOR_SHARE and len(tried) - len(astray) < limits.min_matched * len(tried):
        yield Finding('unmatched', WARNING, split.name, 'A and B have no visible ground in common: different '
                      'places under one name, crops that do not match, or land without any lasting edge',
                      [pair.name for pair in astray])


SPLIT_CHECKS: tuple[Callable[[SplitFacts, Limits], Iterable[Finding]], ...] = (
    find_interrupted_conversions, find_missing_folders, find_missing_counterparts, find_extra_files,
    find_unreadable_files, find_unequal_sizes, find_files_apart, find_odd_sizes, find_wrong_modes, find_missing_data,
    find_blank_images, find_identical_dates, find_wrong_label_values, find_splits_without_change, find_inverted_labels,
    find_slivers, find_duplicates, find_common_shift, find_shifted_pairs, find_unmatched_pairs)
DATASET_CHECKS: tuple[Callable[[list[SplitFacts], Limits], Iterable[Finding]], ...] = (find_leaks, )
