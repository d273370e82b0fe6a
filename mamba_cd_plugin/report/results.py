"""The numbers of a report: what is counted of each run in one pass over its stored images, and the plain values that
the page shows and ``report.json`` holds."""
import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from ..engine.loops.protocol_test_loop import choose_protocols
from ..evaluation import change_scores
from .pixels import (
    LEVELS,
    Calibration,
    Counts,
    calibrate,
    difference_interval,
    f1,
    group_sums,
    histogram,
    holm,
    over_thresholds,
    randomisation_test,
    score_intervals,
)
from .regions import Objects, SizeScores, Tile, by_size, cut, find_objects, join
from .runs import TILES, WHOLE, Run, Store

Interval = Tuple[float, float]

# How tools/dataset_converters names the tile of a scene: its stem, row and column.
_TILE_NAME = re.compile(r'(.+)_\d+_\d+')
# Fewer scenes than this, and their resampling says nothing: the tiles are then taken one by one.
MIN_SCENES = 8


@dataclass
class Results:
    """What one run gave on a test set.

    Attributes:
        run: The run.
        store: Its stored maps.
        level: Of the threshold.
        names: Of the images.
        sizes: Heights and widths of the images.
        groups: Per image the scene that it was cut from, or its own name.
        histograms: Per protocol the levels of each image by truth, (N, 2, 256).
        reason: Why there are these protocols, in words.
        tiles: The tiles of all images, by the tiled protocol where there is one.
        objects: Of all images, by the first protocol.
    """
    run: Run
    store: Store
    level: int
    names: list[str]
    sizes: list[tuple[int, int]]
    groups: list[str]
    histograms: dict[str, np.ndarray]
    reason: str
    tiles: list[Tile]
    objects: Objects

    def counts(self, protocol: str) -> Counts:
        """Outcomes of each image at the threshold."""
        return over_thresholds(self.histograms[protocol]).at(self.level)

    def sweep(self, protocol: str) -> Counts:
        """Pooled outcomes at every threshold."""
        return over_thresholds(self.histograms[protocol].sum(axis=0))

    def same_images(self, other: 'Results') -> bool:
        """Whether another run was tested on the same images by the same protocols."""
        if self.names != other.names or self.histograms.keys() != other.histograms.keys():
            return False
        return all(np.array_equal(self.histograms[key].sum(axis=2), other.histograms[key].sum(axis=2))
                   for key in self.histograms)


def collect(run: Run, store: Store, level: int, tile: Optional[int]) -> Results:
    """Read every stored image once.

    Args:
        run: The run.
        store: Its evaluated test set.
        level: Of the threshold.
        tile: Side of the tiles in pixels; None to take each image as one.
    """
    names, sizes, tiles, objects = [], [], [], []
    histograms = {WHOLE: [], TILES: []}
    for index, record in enumerate(store):
        whole, tiled = record.levels[WHOLE], record.levels.get(TILES, record.levels[WHOLE])
        names.append(record.name)
        sizes.append(record.truth.shape)
        histograms[WHOLE].append(histogram(record.truth, whole))
        histograms[TILES].append(histogram(record.truth, tiled))
        tiles += cut(index, record.name, record.truth, tiled >= level, tile or max(record.truth.shape))
        objects.append(find_objects(record.truth, whole >= level))
    first, second, reason = choose_protocols(set(sizes), tile)
    protocols = {first: WHOLE, second: TILES} if second else {first: WHOLE}
    return Results(run, store, level, names, sizes, scenes(names, set(sizes) == {(tile, tile)}),
                   {name: np.stack(histograms[way]) for name, way in protocols.items()}, reason, tiles, join(objects))


def scenes(names: list[str], are_tiles: bool) -> list[str]:
    """What each image was cut from, if they are tiles named by our converters and of enough scenes; else itself."""
    found = [_TILE_NAME.fullmatch(name) for name in names]
    if not are_tiles or not all(found):
        return list(names)
    cut_from = [match.group(1) for match in found]
    return cut_from if len(set(cut_from)) >= MIN_SCENES else list(names)


@dataclass(frozen=True)
class Sampling:
    """How the intervals and tests draw.

    Attributes:
        resamples: Number of bootstrap resamples.
        permutations: Number of random assignments of the randomisation test.
        level: Confidence level of the intervals.
        seed: Seed of the bootstrap and of the randomisation test.
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
        intervals: Bootstrap intervals of some of them.
        best_threshold: The threshold with the highest F1 on this very test set.
        best_scores: The scores there.
        calibration: How far the probabilities are what they claim to be.
    """
    confusion: List[List[int]]
    scores: Dict[str, float]
    intervals: Dict[str, Interval]
    best_threshold: float
    best_scores: Dict[str, float]
    calibration: Calibration


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
    units = group_sums(counts, results.groups)
    sweep = results.sweep(protocol)
    best = best_level(sweep)
    confusion = _confusion(counts.total())
    return ProtocolScores(
        confusion=confusion,
        scores=change_scores(torch.tensor(confusion)),
        intervals=score_intervals(units, sampling.resamples, sampling.level, sampling.seed),
        best_threshold=best / LEVELS,
        best_scores=change_scores(torch.tensor(_confusion(sweep.at(best)))),
        calibration=calibrate(results.histograms[protocol].sum(axis=0)))


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
    p = randomisation_test(a, b, sampling.permutations, sampling.seed)
    wrong = [counts.fp + counts.fn for counts in (a, b)]
    return Comparison(
        protocol=protocol,
        baseline=baseline.run.name,
        run=other.run.name,
        difference=float(f1(b.total()) - f1(a.total())),
        interval=difference_interval(a, b, sampling.resamples, sampling.level, sampling.seed),
        p=p,
        p_holm=p,
        better=int((wrong[1] < wrong[0]).sum()),
        worse=int((wrong[1] > wrong[0]).sum()))
