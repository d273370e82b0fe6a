"""One pass over a data set, and everything that is found in it."""
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Optional, Sequence

from mmengine import ProgressBar

from .findings import DATASET_CHECKS, LEVELS, SPLIT_CHECKS, Finding, Limits, SplitFacts
from .listing import ROLES, SplitListing, list_splits
from .measure import PairFacts, measure_pair

# Decoding and Fourier transforms run outside of Python's lock; beyond this the disk is what takes time.
_MOST_THREADS = 8


@dataclass
class CheckResult:
    """What a data set holds and what is wrong with it.

    Attributes:
        root: Folder of the data set.
        splits: Its splits.
        findings: Errors first, then warnings, then notes.
        limits: From where on something was found.
    """

    root: str
    splits: list[SplitFacts]
    findings: list[Finding]
    limits: Limits

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)


def check_dataset(root: str,
                  splits: Optional[Sequence[str]] = None,
                  limits: Optional[Limits] = None,
                  ignore_value: Optional[int] = None,
                  with_shift: bool = True,
                  workers: Optional[int] = None,
                  progress: bool = False) -> CheckResult:
    """Read every file of a data set once and run all checks.

    ::

        list_splits -> for each pair: measure_pair -> SPLIT_CHECKS on each split, DATASET_CHECKS on all -> CheckResult

    Args:
        root: Folder in the layout of LEVIR-CD.
        splits: Splits to look at. Default None: all that are there.
        limits: From where on something is found. Default None: see :class:`Limits`.
        ignore_value: Value of label pixels without truth. Default None: there is none.
        with_shift: Whether to measure the registration, which takes most of the time.
        workers: Threads. Default None: one for each processor, at most 8.
        progress: Whether to draw a progress bar on stderr.

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
        return measure_pair(listing.name, name, paths, ignore_value, with_shift)

    pairs: dict[str, list[PairFacts]] = {listing.name: [] for listing in listings}
    with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        for facts in pool.map(measure, jobs):
            pairs[facts.split].append(facts)
            if bar:
                bar.update()
    if bar:
        sys.stderr.write('\n')
    facts = [SplitFacts(listing, pairs[listing.name]) for listing in listings]
    findings = [finding for split in facts for check in SPLIT_CHECKS for finding in check(split, limits)]
    findings += [finding for check in DATASET_CHECKS for finding in check(facts, limits)]
    return CheckResult(root, facts, sorted(findings, key=lambda finding: LEVELS.index(finding.level)), limits)
