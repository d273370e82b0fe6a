"""The sections of the page, in their order."""
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

from torch import nn

from ..engine.history import find_scalar_files, read_history
from . import charts, tables
from .costs import RunCosts
from .gallery import differences, inside_the_head, worst_and_best
from .objects import COVERED
from .page import Charts, Part, Section
from .results import Results
from .summary import Comparison, RunSummary, Sampling
from .tiles import WORTH_SHOWING, spread

# More runs than this, and their pictures are folded away.
SHOWN_AT_ONCE = 2
# From fewer images the bootstrap's intervals come out too narrow.
MIN_UNITS = 20


@dataclass
class Findings:
    """All that is known about the runs, in the order in which they were named."""
    results: Sequence[Results]
    summaries: Sequence[RunSummary]
    comparisons: Sequence[Comparison]
    costs: Dict[str, RunCosts]
    models: Dict[str, nn.Module]
    latex: str
    sampling: Sampling

    @property
    def protocols(self) -> List[str]:
        """Of any run, the first run's first."""
        return list(dict.fromkeys(protocol for summary in self.summaries for protocol in summary.protocols))


def in_words(protocol: str) -> str:
    """A protocol's name as a heading."""
    side = protocol[len('tiles'):]
    return f'{side} × {side} tiles' if protocol.startswith('tiles') else 'Whole images'


def file_name(name: str) -> str:
    """A run's name as that of a folder, on any system."""
    return re.sub(r'[^\w.+-]+', '_', name).strip('.')


def all_sections(findings: Findings, drawn: Charts, folder: Path, panels: int, maps: int) -> List[Section]:
    """Every section that has something to show.

    Args:
        findings: The numbers.
        drawn: Takes the charts.
        folder: For the pictures of tiles.
        panels: Tiles in each album.
        maps: Tiles to look into.
    """
    sections = [_scores(findings), _comparison(findings, drawn), _training(findings, drawn),
                _thresholds(findings, drawn), _tiles(findings, drawn), _sizes(findings, drawn), _costs(findings),
                _pictures(findings, folder, panels), _head(findings, folder, maps),
                Section('latex', 'LaTeX', [Part(code=findings.latex)]), _methods(findings)]
    return [section for section in sections if section.parts]


def _scores(findings: Findings) -> Section:
    parts = [Part(in_words(protocol), tables=[tables.scores_table(findings.summaries, protocol)])
             for protocol in findings.protocols]
    level = f'{100 * findings.sampling.level:g} %'
    parts[0].text = ('Changed class, in percent, from one confusion matrix over all pixels. Below each score the '
                     f'{level} interval over images. '
                     + ('The tiles are those of the same images, each predicted without what lies around it.'
                        if len(findings.protocols) > 1 else findings.results[0].reason))
    if findings.summaries[0].units < MIN_UNITS:
        parts[0].text += f' The intervals are from {findings.summaries[0].units} images only: a rough guide.'
    runs = Part(tables=[tables.runs_table(findings.results, findings.summaries)])
    return Section('scores', 'Scores', [runs, *parts])


def _comparison(findings: Findings, drawn: Charts) -> Section:
    if len(findings.results) < 2:
        return Section('comparison', 'Comparison', [])
    baseline = findings.results[0].run.name
    compared = {one.run for one in findings.comparisons}
    others = [result.run.name for result in findings.results[1:] if result.run.name not in compared]
    text = (f'Each run against {baseline}, image by image. A positive difference is in favour of the run; better and '
            'worse count the images on which it has fewer and more pixels in error.')
    if others:
        text += f" Not on {baseline}'s images, hence not compared: {', '.join(others)}."
    part = Part(text=text)
    if findings.comparisons:
        part.charts = drawn.add(charts.draw_comparison(findings.comparisons), 'comparison',
                                f'Difference of F1 to {baseline}')
        names = [summary.name for summary in findings.summaries]
        part.tables = [tables.comparison_table(findings.comparisons, names)]
    return Section('comparison', 'Comparison', [part])


def _training(findings: Findings, drawn: Charts) -> Section:
    histories = {result.run.name: read_history(find_scalar_files(result.run.work_dir)) for result in findings.results}
    chart = drawn.add(charts.draw_training(histories), 'training', 'Training loss and validation F1')
    return Section('training', 'Training', [Part(charts=chart)] if chart else [])


def _thresholds(findings: Findings, drawn: Charts) -> Section:
    parts = []
    for protocol in findings.protocols:
        figure = charts.draw_thresholds(findings.results, findings.summaries, protocol)
        chart = drawn.add(figure, f'thresholds-{protocol}', f'Precision, recall and F1 over thresholds, {protocol}')
        parts.append(Part(in_words(protocol), charts=chart,
                          tables=[tables.threshold_table(findings.summaries, protocol)]))
    parts[0].text = ('A dot at the threshold in use, a star at the best one. The best one is chosen on the very images '
                     'that are scored: it shows what calibration could gain, and is no score to report.')
    return Section('thresholds', 'Thresholds', parts)


def _tiles(findings: Findings, drawn: Charts) -> Section:
    chart = drawn.add(charts.draw_tile_scores(findings.summaries), 'tiles', 'F1 per tile')
    return Section('tiles', 'F1 per tile', [Part(charts=chart, tables=[tables.tiles_table(findings.summaries)])])


def _sizes(findings: Findings, drawn: Charts) -> Section:
    text = (f'Connected changed regions. One is found when at least {COVERED:.0%} of its pixels are predicted; a '
            f'predicted region is right when at least {COVERED:.0%} of its pixels are changed.')
    chart = drawn.add(charts.draw_sizes(findings.summaries), 'sizes', 'Objects found and right, by size')
    return Section('sizes', 'Object size', [
        Part(text=text, charts=chart),
        Part('Changed objects found', tables=[tables.objects_table(findings.summaries)]),
        Part('Predicted regions that are right', tables=[tables.regions_table(findings.summaries)])])


def _costs(findings: Findings) -> Section:
    cost = next(iter(findings.costs.values()))
    text = f'One pair of {cost.side} × {cost.side} pixels, batch 1; a multiply-add is one FLOP.'
    if cost.timing is not None:
        text += f' Median time, and the quartiles below it, in turns on {cost.machine}.'
    return Section('costs', 'Cost', [Part(text=text, tables=[tables.costs_table(findings.summaries, findings.costs)])])


def _pictures(findings: Findings, folder: Path, number: int) -> Section:
    if not number:
        return Section('pictures', 'Pictures', [])
    parts = []
    for result in findings.results:
        albums = worst_and_best(result, number, folder / file_name(result.run.name))
        parts.append(Part(result.run.name, albums=[album for album in albums if album.shots],
                          folded=len(findings.results) > SHOWN_AT_ONCE))
    baseline = findings.results[0]
    albums = [differences(baseline, other, number) for other in findings.results[1:] if baseline.same_images(other)]
    if albums:
        parts.append(Part('Where the runs differ most', albums=albums, folded=len(albums) > SHOWN_AT_ONCE))
    parts[0].text = parts[0].text or (
        f'The tiles that cost the pooled score most, and the best of those with at least {WORTH_SHOWING:.0%} change.')
    return Section('pictures', 'Pictures', parts)


def _head(findings: Findings, folder: Path, number: int) -> Section:
    chosen = spread(findings.results[0].tiles, number)
    parts = []
    for result in findings.results if number else []:
        by_place = {(tile.name, tile.rows.start, tile.columns.start): tile for tile in result.tiles}
        places = [(tile.name, tile.rows.start, tile.columns.start) for tile in chosen]
        album = inside_the_head(result, findings.models[result.run.name],
                                [by_place[place] for place in places if place in by_place],
                                folder / file_name(result.run.name))
        if any(shot.maps for shot in album.shots):
            parts.append(Part(result.run.name, albums=[album], folded=len(findings.results) > SHOWN_AT_ONCE))
    if parts:
        parts[0].text = (
            'Gate: the mean weight that the AFF gives the trunk; orange where the trunk counts more, purple where the '
            'edge branch does, white where both count alike. Edge: the mean strength of the edge response, dark for '
            'none. Each map has colours of its own; the numbers compare them.')
    return Section('head', 'Inside the head', parts)


def _methods(findings: Findings) -> Section:
    sampling = findings.sampling
    units = findings.summaries[0].units
    images = findings.summaries[0].images
    unit = 'images' if units == images else f'scenes that the {images:,} tiles were cut from'
    text = [
        ('Intervals', f'Percentile bootstrap, {sampling.resamples:,} resamples of the {units:,} {unit}, because the '
         'pixels of one image are not independent of each other (Efron and Tibshirani 1993). F1 is pooled anew in each '
         'resample.'),
        ('Test', f'Paired approximate randomisation, {sampling.permutations:,} assignments, on the pooled F1 (Noreen '
         '1989; Yeh, COLING 2000): how often a difference at least as large comes about when the results of the two '
         'runs are swapped at random on each image. Corrected for several runs after Holm (1979). The interval of the '
         'difference is from the bootstrap with the same images drawn for both runs. One training each: neither says '
         'how much another seed would change.'),
        ('Thresholds', 'Probabilities are kept in steps of 1/256, exact for a threshold such as 0.5; any other is '
         'moved to the nearest step.'),
    ]
    return Section('methods', 'Methods', [Part(title, text=body) for title, body in text])
