"""The numbers of a report, as plain values: what the page shows and ``report.json`` holds."""
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from ..evaluation import change_scores
from .levels import LEVELS, SCORES, Counts, f1
from .objects import SizeScores, by_size
from .results import Results
from .statistics import bootstrap, group_sums, holm, interval, randomisation_test

Interval = Tuple[float, float]


@dataclass(frozen=True)
class Sampling:
    """How the intervals and tests draw.

    Attributes:
        resamples: Of the bootstrap.
        permutations: Of the randomisation test.
        level: Share of the replicates inside of an interval.
        seed: Of all draws.
    """
    resamples: int = 2000
    permutations: int = 10000
    level: float = 0.95
    seed: int = 0


@dataclass
class ProtocolScores:
    """Scores of one run by one protocol.

    Attributes:
        confusion: ``[[TN, FP], [FN, TP]]``.
        scores: Those of ChangeMetric, fractions.
        intervals: Of some of them, from the bootstrap.
        best_threshold: The threshold with the highest F1 on this very test set.
        best_scores: The scores there.
    """
    confusion: List[List[int]]
    scores: Dict[str, float]
    intervals: Dict[str, Interval]
    best_threshold: float
    best_scores: Dict[str, float]


@dataclass
class TileScores:
    """What the tiles say.

    Attributes:
        f1: Of each tile with some change.
        unchanged: Number of tiles without change.
        false_alarms: How many of those have a pixel predicted.
    """
    f1: List[float]
    unchanged: int
    false_alarms: int


@dataclass
class RunSummary:
    """One run.

    Attributes:
        name: Of the run.
        images: How many were tested.
        units: How many units the bootstrap draws from: images, or scenes that were cut into tiles.
        sizes: Heights and widths that occur.
        changed: Share of the labelled pixels that is changed.
        threshold: Probability above which a pixel is called changed.
        protocols: Scores by protocol.
        tiles: Scores by tile.
        objects: Scores by size of the object.
    """
    name: str
    images: int
    units: int
    sizes: List[Tuple[int, int]]
    changed: float
    threshold: float
    protocols: Dict[str, ProtocolScores]
    tiles: TileScores
    objects: List[SizeScores] = field(default_factory=list)


@dataclass
class Comparison:
    """A run against the first one, by one protocol.

    Attributes:
        protocol: The protocol.
        baseline: Name of the first run.
        run: Name of the other run.
        difference: F1 of the run less that of the baseline, a fraction.
        interval: Of the difference, from the paired bootstrap.
        p: Of the randomisation test.
        p_holm: The same, corrected for the number of runs that are compared by this protocol.
        better: Number of units on which the run has fewer pixels in error.
        worse: Number of units on which it has more.
    """
    protocol: str
    baseline: str
    run: str
    difference: float
    interval: Interval
    p: float
    p_holm: float
    better: int
    worse: int


def summarise(results: Results, sampling: Sampling) -> RunSummary:
    """The numbers of one run."""
    protocols = {protocol: _protocol_scores(results, protocol, sampling) for protocol in results.histograms}
    (tn, fp), (fn, tp) = next(iter(protocols.values())).confusion
    with_change = [tile for tile in results.tiles if tile.changed]
    unchanged = [tile for tile in results.tiles if not tile.changed]
    tiles = TileScores([tile.f1 for tile in with_change], len(unchanged), sum(tile.counts.fp > 0 for tile in unchanged))
    return RunSummary(
        name=results.run.name,
        images=len(results.names),
        units=len(set(results.groups)),
        sizes=sorted(set(results.sizes)),
        changed=(tp + fn) / max(tn + fp + fn + tp, 1),
        threshold=results.level / LEVELS,
        protocols=protocols,
        tiles=tiles,
        objects=by_size(results.objects))


def _protocol_scores(results: Results, protocol: str, sampling: Sampling) -> ProtocolScores:
    counts = results.counts(protocol)
    replicates = bootstrap(group_sums(counts, results.groups), sampling.resamples, sampling.seed)
    sweep = results.sweep(protocol)
    best = best_level(sweep)
    confusion = _confusion(counts.total())
    return ProtocolScores(
        confusion=confusion,
        scores=change_scores(torch.tensor(confusion)),
        intervals={key: interval(score(replicates), sampling.level) for key, score in SCORES.items()},
        best_threshold=best / LEVELS,
        best_scores=change_scores(torch.tensor(_confusion(sweep.at(best)))))


def best_level(sweep: Counts) -> int:
    """The level with the highest F1, the lowest of several; not 0, which calls everything changed."""
    return 1 + int(np.argmax(f1(sweep)[1:]))


def _confusion(counts: Counts) -> List[List[int]]:
    tp, fp, fn, tn = (int(count) for count in counts)
    return [[tn, fp], [fn, tp]]


def compare(results: Sequence[Results], sampling: Sampling) -> List[Comparison]:
    """Every run that was tested on the images of the first one against it, by each protocol."""
    baseline, *others = results
    others = [other for other in others if baseline.same_images(other)]
    comparisons = []
    for protocol in baseline.histograms:
        found = [_compare(baseline, other, protocol, sampling) for other in others]
        for comparison, p in zip(found, holm([comparison.p for comparison in found])):
            comparison.p_holm = p
        comparisons += found
    return comparisons


def _compare(baseline: Results, other: Results, protocol: str, sampling: Sampling) -> Comparison:
    a, b = (group_sums(run.counts(protocol), baseline.groups) for run in (baseline, other))
    # Equal seeds: both runs are scored on the same resampled images.
    replicates = [f1(bootstrap(counts, sampling.resamples, sampling.seed)) for counts in (a, b)]
    p = randomisation_test(a, b, sampling.permutations, sampling.seed)
    wrong = [counts.fp + counts.fn for counts in (a, b)]
    return Comparison(
        protocol=protocol,
        baseline=baseline.run.name,
        run=other.run.name,
        difference=float(f1(b.total()) - f1(a.total())),
        interval=interval(replicates[1] - replicates[0], sampling.level),
        p=p,
        p_holm=p,
        better=int((wrong[1] < wrong[0]).sum()),
        worse=int((wrong[1] > wrong[0]).sum()))


def find(comparisons: Sequence[Comparison], run: str, protocol: str) -> Optional[Comparison]:
    """The comparison of one run by one protocol, if there is one."""
    return next((one for one in comparisons if (one.run, one.protocol) == (run, protocol)), None)
