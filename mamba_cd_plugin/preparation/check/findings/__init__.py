"""The checks: one function for each kind of finding, over one split or over all."""
from typing import Callable, Iterable

from .alignment import common_shift, find_common_shift, find_shifted_pairs, find_unmatched_pairs, measured_shifts
from .files import (
    find_extra_files,
    find_interrupted_conversions,
    find_missing_folders,
    find_missing_mates,
    find_unreadable_files,
)
from .finding import LEVELS, Finding, Limits, SplitFacts
from .images import find_blank_images, find_identical_dates, find_odd_sizes, find_unequal_sizes, find_wrong_modes
from .labels import find_inverted_labels, find_slivers, find_splits_without_change, find_wrong_label_values
from .leaks import find_duplicates, find_leaks

SPLIT_CHECKS: tuple[Callable[[SplitFacts, Limits], Iterable[Finding]], ...] = (
    find_interrupted_conversions, find_missing_folders, find_missing_mates, find_extra_files, find_unreadable_files,
    find_unequal_sizes, find_odd_sizes, find_wrong_modes, find_blank_images, find_identical_dates,
    find_wrong_label_values, find_splits_without_change, find_inverted_labels, find_slivers, find_duplicates,
    find_common_shift, find_shifted_pairs, find_unmatched_pairs)
DATASET_CHECKS: tuple[Callable[[list[SplitFacts], Limits], Iterable[Finding]], ...] = (find_leaks, )

__all__ = [
    'DATASET_CHECKS', 'LEVELS', 'SPLIT_CHECKS', 'Finding', 'Limits', 'SplitFacts', 'common_shift', 'measured_shifts'
]
