"""One pass over a data set, everything that is found in it, and how that is said."""
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from mmengine import ProgressBar

from ...io.pictures import shorten
from .facts import ROLES, PairFacts, SplitFacts, SplitListing, list_splits, measure_pair
from .findings import (
    DATASET_CHECKS,
    LEVELS,
    SPLIT_CHECKS,
    Finding,
    Limits,
    common_shift,
    measured_shifts,
)

# Decoding and Fourier transforms run outside of Python's lock; beyond this the disk is what takes time.
_MOST_THREADS = 8


@dataclass
class CheckResult:
    """What a data set holds and what is wrong with it.

    Attributes:
        root: Folder of the data set.
        splits: Facts of each split.
        findings: Errors first, then warnings, then notes.
        limits: Limits above which something is a finding.
    """

    root: str
    splits: list[SplitFacts]
    findings: list[Finding]
    limits: Limits

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)


def check_dataset(root: str,
                  splits: Sequence[str] | None = None,
                  limits: Limits | None = None,
                  ignore_value: int | None = None,
                  with_shift: bool = True,
                  workers: int | None = None,
                  progress: bool = False,
                  value_range: tuple[float, float] | None = None) -> CheckResult:
    """Read every file of a data set once and run all checks.

    ::

        list_splits -> for each pair: measure_pair -> SPLIT_CHECKS on each split, DATASET_CHECKS on all -> CheckResult

    Args:
        root: Folder in the layout of LEVIR-CD.
        splits: Splits to look at. Default None: all that are there.
        limits: Limits above which something is a finding. Default None: those of :class:`Limits`.
        ignore_value: Value of label pixels without truth. Default None: there is none.
        with_shift: Whether to measure the registration, which takes most of the time.
        workers: Threads. Default None: one for each processor, at most 8.
        progress: Whether to draw a progress bar on stderr.
        value_range: Values of the images that become 0 and 255; None for images of 8 bits.

    Raises:
        FileNotFoundError: If there is no data set or no such split.
    """
    limits = limits or Limits()
    listings = list_splits(root, splits)
    jobs = [(listing, name) for listing in listings for name in listing.names]
    bar = ProgressBar(len(jobs), file=sys.stderr) if progress and jobs else None

    def measure(job: tuple[SplitListing, str]) -> PairFacts:
        listing, name = job
        paths = {role: listing.files[role][name] for role in ROLES if name in listing.files[role]}
        return measure_pair(listing.name, name, paths, ignore_value, with_shift, value_range)

    pairs: dict[str, list[PairFacts]] = {listing.name: [] for listing in listings}
    with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        for pair in pool.map(measure, jobs):
            pairs[pair.split].append(pair)
            if bar:
                bar.update()
    if bar:
        sys.stderr.write('\n')
    facts = [SplitFacts(listing, pairs[listing.name]) for listing in listings]
    findings = [finding for split in facts for check in SPLIT_CHECKS for finding in check(split, limits)]
    findings += [finding for check in DATASET_CHECKS for finding in check(facts, limits)]
    return CheckResult(root, facts, sorted(findings, key=lambda finding: LEVELS.index(finding.level)), limits)


_COLUMNS = ('split', 'pairs', 'size', 'changed', 'without change', 'near-empty', 'B beside A (right, down)', 'typical',
            'measured')


def format_result(result: CheckResult) -> str:
    """Table of the splits, and the findings as text."""
    rows = [_COLUMNS, *(_row(result, split) for split in result.splits)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    for finding in result.findings:
        names = f'\n    {len(finding.names)}: {shorten(finding.names)}' if finding.names else ''
        lines.append(f'{finding.level.upper()} {finding.check}{f" in {finding.split}" if finding.split else ""}: '
                     f'{finding.message}{names}')
    counts = ', '.join(f'{result.count(level)} {level}{"" if result.count(level) == 1 else "s"}' for level in LEVELS)
    lines.append(f'{result.root}: {counts}')
    return '\n'.join(lines)


def as_json(result: CheckResult) -> dict[str, Any]:
    """Everything that was found, for scripts: splits with their numbers, and findings with all names."""
    return dict(root=result.root, limits=asdict(result.limits),
                splits=[summarize_split(result, split) for split in result.splits],
                findings=[asdict(finding) for finding in result.findings])


def summarize_split(result: CheckResult, split: SplitFacts) -> dict[str, Any]:
    """Numbers of one split.

    Returns:
        ``pairs``; ``sizes`` (width x height with their counts); ``changed`` (share of all pixels);
        ``without_change`` and ``near_empty`` (tiles); ``common_shift`` ((dx, dy) in px or None); ``typical_shift``
        (median distance in px or None); ``measured_shifts`` (number), ``shifts`` (by name: dx, dy, certainty).
    """
    distances = [shift.distance for _, shift in measured_shifts(split, result.limits)]
    sizes: dict[str, int] = {}
    for _, file in split.each_file('A'):
        size = 'unreadable' if file.size is None else f'{file.size[0]} x {file.size[1]}'
        sizes[size] = sizes.get(size, 0) + 1
    return dict(
        name=split.name, pairs=len(split.pairs), sizes=sizes, changed=split.changed if split.labelled else None,
        without_change=sum(pair.changed_pixels == 0 for pair in split.labelled),
        near_empty=sum(0 < pair.changed <= result.limits.sliver for pair in split.labelled),
        common_shift=common_shift(split, result.limits), measured_shifts=len(distances),
        typical_shift=float(np.median(distances)) if distances else None,
        shifts={pair.name: pair.shift._asdict() for pair in split.pairs if pair.shift})


def _row(result: CheckResult, split: SplitFacts) -> tuple[str, ...]:
    numbers = summarize_split(result, split)
    common, typical = numbers['common_shift'], numbers['typical_shift']
    return (split.name or '(all)', f'{numbers["pairs"]:,}',
            ', '.join(numbers['sizes']) if len(numbers['sizes']) < 3 else f'{len(numbers["sizes"])} sizes',
            '-' if numbers['changed'] is None else f'{numbers["changed"]:.2%}', f'{numbers["without_change"]:,}',
            f'{numbers["near_empty"]:,}', f'{common[0]:+.2f}, {common[1]:+.2f} px' if common else '-',
            '-' if typical is None else f'{typical:.2f} px', f'{numbers["measured_shifts"]:,}')
