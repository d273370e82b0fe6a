"""Checks of the labels: their values and how much of the ground they mark."""
from typing import Iterator

from .finding import ERROR, NOTE, WARNING, Finding, Limits, SplitFacts


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
                      'too little to be learnt or found, though each counts as a tile with change',
                      [pair.name for pair in few])
