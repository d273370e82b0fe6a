"""The numbers of a report: counts of each run from one pass over its stored images, and the scores from them."""
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..engine.protocol_test_loop import choose_protocols
from ..evaluation import ObjectCounts, add_objects, change_scores, count_objects
from .pixels import (
    LEVELS,
    Counts,
    Reliability,
    difference_interval,
    f1,
    group_sums,
    histogram,
    holm,
    measure_reliability,
    over_thresholds,
    randomisation_test,
    score_intervals,
)
from .regions import Objects, ScoredTile, SizeScores, by_size, cut, find_objects, join
from .runs import TILES, WHOLE, Run, Store

Interval = tuple[float, float]

# How tools/dataset_converters names the tile of a scene: its stem, row and column.
_TILE_NAME = re.compile(r'(.+)_\d+_\d+')
# With fewer scenes resampling them is meaningless, and single tiles are drawn instead.
MIN_SCENES = 8


@dataclass
class Results:
    """Counts of one run on a test set.

    Attributes:
        run: The run.
        store: Stored probability maps.
        level: Level of the threshold, in 1/256.
        names: Names of the images.
        sizes: Heights and widths of the images.
        groups: Scene that each image was cut from, or its own name.
        histograms: Levels of each image by ground truth, (N, 2, 256), per protocol.
        reason: Explanation of the choice of protocols.
        tiles: Tiles of all images, by the tiled protocol if there is one.
        objects: Objects of all images, by the first protocol.
        matches: Objects that match at IoU above 0.5, by the first protocol.
    """
    run: Run
    store: Store
    level: int
    names: list[str]
    sizes: list[tuple[int, int]]
    groups: list[str]
    histograms: dict[str, np.ndarray]
    reason: str
    tiles: list[ScoredTile]
    objects: Objects
    matches: ObjectCounts

    def counts(self, protocol: str) -> Counts:
        """Pixels by outcome of each image at the threshold."""
        return over_thresholds(self.histograms[protocol]).at(self.level)

    def sweep(self, protocol: str) -> Counts:
        """Pixels by outcome of all images at every threshold."""
        return over_thresholds(self.histograms[protocol].sum(axis=0))

    def same_images(self, other: 'Results') -> bool:
        """Whether another run was tested on the same images by the same protocols."""
        if self.names != other.names or self.histograms.keys() != other.histograms.keys():
            return False
        return all(np.array_equal(self.histograms[key].sum(axis=2), other.histograms[key].sum(axis=2))
                   for key in self.histograms)


def collect(run: Run, store: Store, level: int, tile: int | None) -> Results:
    """Read every stored image once.

    Args:
        run: The run.
        store: Stored predictions of the run.
        level: Level of the threshold, in 1/256.
        tile: Side of the tiles in pixels; None to take each image as one.
    """
    names, sizes, tiles, objects, matches = [], [], [], [], []
    histograms: dict[str, list] = {WHOLE: [], TILES: []}
    for index, record in enumerate(store):
        whole, tiled = record.levels[WHOLE], record.levels.get(TILES, record.levels[WHOLE])
        names.append(record.name)
        sizes.append(record.truth.shape)
        histograms[WHOLE].append(histogram(record.truth, whole))
        histograms[TILES].append(histogram(record.truth, tiled))
        tiles += cut(index, record.name, record.truth, tiled >= level, tile or max(record.truth.shape))
        objects.append(find_objects(record.truth, whole >= level))
        matches.append(count_objects(whole >= level, record.truth))
    first, second, reason = choose_protocols(set(sizes), tile)
    protocols = {first: WHOLE, second: TILES} if second else {first: WHOLE}
    return Results(run, store, level, names, sizes, scenes(names, set(sizes) == {(tile, tile)}),
                   {name: np.stack(histograms[way]) for name, way in protocols.items()}, reason, tiles, join(objects),
                   add_objects(matches))


def scenes(names: list[str], are_tiles: bool) -> list[str]:
    """Scene of each image, if they are tiles named by ``mamba-cd prepare`` from enough scenes; else the images."""
    found = [_TILE_NAME.fullmatch(name) for name in names]
    if not are_tiles or not all(found):
        return list(names)
    cut_from = [match.group(1) for match in found]
    return cut_from if len(set(cut_from)) >= MIN_SCENES else list(names)


@dataclass(frozen=True)
class Sampling:
    """Settings of the bootstrap and the randomisation test.

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
        calibration: Calibration of the probabilities.
    """
    confusion: list[list[int]]
    scores: dict[str, float]
    intervals: dict[str, Interval]
    best_threshold: float
    best_scores: dict[str, float]
    calibration: Reliability


@dataclass
class TileScores:
    """Scores per tile.

    Attributes:
        f1: F1 of each tile with changed pixels.
        unchanged: Number of tiles without change.
        false_positives: Number of those with a predicted pixel.
    """
    f1: list[float]
    unchanged: int
    false_positives: int


@dataclass
class RunSummary:
    """Scores of one run.

    Attributes:
        name: Name of the run.
        images: Number of images.
        units: Number of units that the bootstrap draws from: images, or scenes that were cut into tiles.
        sizes: Distinct heights and widths.
        changed: Share of changed pixels among the labelled ones.
        threshold: Probability above which a pixel counts as changed.
        protocols: Scores by protocol.
        tiles: Scores by tile.
        matches: Objects that match at IoU above 0.5.
        objects: Scores by size of the object.
    """
    name: str
    images: int
    units: int
    sizes: list[tuple[int, int]]
    changed: float
    threshold: float
    protocols: dict[str, ProtocolScores]
    tiles: TileScores
    matches: ObjectCounts
    objects: list[SizeScores] = field(default_factory=list)


@dataclass
class Comparison:
    """Comparison of a run with the first one, by one protocol.

    Attributes:
        protocol: The protocol.
        baseline: Name of the first run.
        run: Name of the other run.
        difference: F1 of the run minus F1 of the baseline, a fraction.
        interval: Paired bootstrap interval of the difference.
        p: p value of the randomisation test.
        p_holm: p value corrected for the number of compared runs.
        better: Number of units on which the run has fewer wrong pixels.
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


def summarise_run(results: Results, sampling: Sampling) -> RunSummary:
    """Compute the scores of one run."""
    protocols = {protocol: _protocol_scores(results, protocol, sampling) for protocol in results.histograms}
    (tn, fp), (fn, tp) = next(iter(protocols.values())).confusion
    with_change = [tile for tile in results.tiles if tile.changed]
    unchanged = [tile for tile in results.tiles if not tile.changed]
    false_alarms = sum(bool(tile.counts.fp > 0) for tile in unchanged)
    tiles = TileScores([tile.f1 for tile in with_change], len(unchanged), false_alarms)
    return RunSummary(
        name=results.run.name,
        images=len(results.names),
        units=len(set(results.groups)),
        sizes=sorted(set(results.sizes)),
        changed=(tp + fn) / max(tn + fp + fn + tp, 1),
        threshold=results.level / LEVELS,
        protocols=protocols,
        tiles=tiles,
        matches=results.matches,
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
        calibration=measure_reliability(results.histograms[protocol].sum(axis=0)))


def best_level(sweep: Counts) -> int:
    """The lowest level with the highest F1; not 0, at which everything is changed."""
    return 1 + int(np.argmax(f1(sweep)[1:]))


def _confusion(counts: Counts) -> list[list[int]]:
    tp, fp, fn, tn = (int(count) for count in counts)
    return [[tn, fp], [fn, tp]]


def compare_runs(results: Sequence[Results], sampling: Sampling) -> list[Comparison]:
    """Compare the first run with every run that was tested on the same images, by each protocol."""
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
