"""Checks for pictures that occur more than once, within a split and between splits."""
from collections import defaultdict
from typing import Iterator

from .finding import ERROR, WARNING, Finding, Limits, SplitFacts


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
        yield Finding('leak', ERROR, '', f'{" and ".join(names)} share {len(images)} images: the score on one is '
                      'partly the memory of the other; remove them from the training split', images)
