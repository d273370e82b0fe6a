"""Checks of whether the two images of a pair lie over each other."""
from typing import Iterator, Optional

import numpy as np

from .finding import WARNING, Finding, Limits, SplitFacts

# With fewer measured pairs, a median or a share says nothing about the split.
_FEWEST_FOR_MEDIAN, _FEWEST_FOR_SHARE = 5, 20


def measured_shifts(split: SplitFacts, limits: Limits) -> list:
    """Names and shifts of the pairs whose shift is certain."""
    return [(pair.name, pair.shift) for pair in split.pairs
            if pair.shift is not None and pair.shift.certainty >= limits.min_certainty]


def common_shift(split: SplitFacts, limits: Limits) -> Optional[tuple[float, float]]:
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
                      f'{common[1]:+.1f} px down of A in the median over the split: seemingly one mistake for all, '
                      'such as different crops; move B back')


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
                      f'in {worst}: {shift.dx:+.1f}, {shift.dy:+.1f} px), or leans with its buildings: edges look like '
                      'change; co-register the pair, or expect a lower score', [name for _, name, _ in shifted])


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
        yield Finding('unmatched', WARNING, split.name, 'A and B have no visible ground in common: mates of different '
                      'places under one name, crops that do not match, or land without any lasting edge',
                      [pair.name for pair in astray])
