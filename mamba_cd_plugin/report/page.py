"""The page: its sections, in one HTML file that loads nothing from the network."""
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from torch import nn

from ..analysis.complexity import ModelCost
from ..engine.history import find_scalar_files, read_history
from ..io.files import whole_file
from ..version import __version__
from ..visualization.drawing import OUTCOMES
from . import charts, tables
from .pictures import Album, differences, inside_the_head, worst_and_best
from .regions import COVERED, WORTH_SHOWING, spread_by_rank
from .results import Comparison, Results, RunSummary, Sampling
from .tables import Table

TEMPLATES = Path(__file__).parent / 'templates'
# Share of white mixed into a run's colour on a dark background, where the palette's blue would be hard to see.
LIGHTER = 0.35
# With more runs, their pictures are collapsed.
SHOWN_AT_ONCE = 2
# With fewer images the bootstrap's intervals are too narrow.
MIN_UNITS = 20


@dataclass
class Part:
    """A heading with text, charts, tables and pictures; each is optional."""
    title: str = ''
    text: str = ''
    charts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    albums: list[Album] = field(default_factory=list)
    folded: bool = False
    code: str = ''


@dataclass
class Section:
    """A section of the page, with an entry in the navigation."""
    anchor: str
    title: str
    parts: list[Part]


class Charts:
    """Turns figures into inline SVG and also writes each as PNG."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, figure: Figure | None, name: str, label: str) -> list[str]:
        """A list with the SVG of the figure, or an empty list without a figure."""
        if figure is None:
            return []
        with whole_file(self.folder / f'{name}.png') as part:
            figure.savefig(part, facecolor='white', transparent=False)
        colors = {color: f'var(--c{index})' for index, color in enumerate(charts.RUN_COLORS)}
        return [charts.to_inline_svg(figure, name, label, colors)]


def _hex(channels: Iterable[float]) -> str:
    red, green, blue = channels
    return to_hex((red, green, blue))


def run_colors() -> list[dict[str, str]]:
    """The colours of the runs on a light and a dark background."""
    lighter = [_hex(channel + (1 - channel) * LIGHTER for channel in to_rgb(color)) for color in charts.RUN_COLORS]
    return [dict(light=light, dark=dark) for light, dark in zip(charts.RUN_COLORS, lighter)]


@dataclass
class Contents:
    """Everything the page shows about the runs, in the order of the command line."""
    results: Sequence[Results]
    summaries: Sequence[RunSummary]
    comparisons: Sequence[Comparison]
    costs: dict[str, ModelCost]
    models: dict[str, nn.Module]
    latex: str
    sampling: Sampling

    @property
    def protocols(self) -> list[str]:
        """Protocols of all runs, those of the first run first."""
        return list(dict.fromkeys(protocol for summary in self.summaries for protocol in summary.protocols))


def in_words(protocol: str) -> str:
    """Heading of a protocol."""
    side = protocol[len('tiles'):]
    return f'{side} × {side} tiles' if protocol.startswith('tiles') else 'Whole images'


def file_name(name: str) -> str:
    """Name of a run as a valid folder name."""
    return re.sub(r'[^\w.+-]+', '_', name).strip('.')


def all_sections(contents: Contents, drawn: Charts, folder: Path, panels: int, maps: int) -> list[Section]:
    """All sections that are not empty.

    Args:
        contents: The numbers.
        drawn: Collects the charts.
        folder: Folder for the pictures of tiles.
        panels: Number of tiles in each album.
        maps: Number of tiles whose gates and edge maps are shown.
    """
    sections = [_scores(contents), _comparison(contents, drawn), _training(contents, drawn),
                _thresholds(contents, drawn), _calibration(contents, drawn), _tiles(contents, drawn),
                _objects(contents, drawn), _costs(contents), _pictures(contents, folder, panels),
                _head(contents, folder, maps), Section('latex', 'LaTeX', [Part(code=contents.latex)]),
                _methods(contents)]
    return [section for section in sections if section.parts]


def _scores(contents: Contents) -> Section:
    parts = [Part(in_words(protocol), tables=[tables.scores_table(contents.summaries, protocol)])
             for protocol in contents.protocols]
    level = f'{100 * contents.sampling.level:g} %'
    parts[0].text = ('Changed class, in percent, from one confusion matrix over all pixels. Below each score is its '
                     f'{level} confidence interval over images. '
                     + ('The tiles are those of the same images, each predicted without its surroundings.'
                        if len(contents.protocols) > 1 else contents.results[0].reason))
    if contents.summaries[0].units < MIN_UNITS:
        parts[0].text += f' The intervals are from {contents.summaries[0].units} images only: a rough guide.'
    runs = Part(tables=[tables.runs_table(contents.results, contents.summaries)])
    return Section('scores', 'Scores', [runs, *parts])


def _comparison(contents: Contents, drawn: Charts) -> Section:
    if len(contents.results) < 2:
        return Section('comparison', 'Comparison', [])
    baseline = contents.results[0].run.name
    compared = {one.run for one in contents.comparisons}
    others = [result.run.name for result in contents.results[1:] if result.run.name not in compared]
    text = (f'Each run against {baseline}, image by image. A positive difference favours the run; better and worse '
            'are the numbers of images on which it has fewer or more wrong pixels.')
    if others:
        text += f" Not compared, because they were tested on other images: {', '.join(others)}."
    part = Part(text=text)
    if contents.comparisons:
        part.charts = drawn.add(charts.draw_comparison(contents.comparisons), 'comparison',
                                f'Difference of F1 to {baseline}')
        names = [summary.name for summary in contents.summaries]
        part.tables = [tables.comparison_table(contents.comparisons, names)]
    return Section('comparison', 'Comparison', [part])


def _training(contents: Contents, drawn: Charts) -> Section:
    histories = {result.run.name: read_history(find_scalar_files(result.run.work_dir)) for result in contents.results}
    chart = drawn.add(charts.draw_training(histories), 'training', 'Training loss and validation F1')
    return Section('training', 'Training', [Part(charts=chart)] if chart else [])


def _thresholds(contents: Contents, drawn: Charts) -> Section:
    parts = []
    for protocol in contents.protocols:
        figure = charts.draw_thresholds(contents.results, contents.summaries, protocol)
        chart = drawn.add(figure, f'thresholds-{protocol}', f'Precision, recall and F1 over thresholds, {protocol}')
        parts.append(Part(in_words(protocol), charts=chart,
                          tables=[tables.threshold_table(contents.summaries, protocol)]))
    parts[0].text = ('A dot at the threshold in use, a star at the best one. The best one is selected on the '
                     'images that are scored: it shows the potential of calibration and is not a score to report.')
    return Section('thresholds', 'Thresholds', parts)


def _calibration(contents: Contents, drawn: Charts) -> Section:
    protocol = contents.protocols[0]
    text = ('Of the pixels to which a calibrated model gives a probability of 70 %, 70 % are changed: its curve lies '
            'on the diagonal. Below the diagonal the model is overconfident in change, above it underconfident. The '
            'expected calibration error is the mean distance from the diagonal, weighted by pixels (Guo et al., ICML '
            '2017); most pixels are easy, so that it is small for any model.')
    chart = drawn.add(charts.draw_calibration(contents.summaries, protocol), 'calibration',
                      f'Reliability diagram, {protocol}')
    return Section('calibration', 'Calibration', [
        Part(in_words(protocol), text, chart, [tables.calibration_table(contents.summaries, protocol)])])


def _tiles(contents: Contents, drawn: Charts) -> Section:
    chart = drawn.add(charts.draw_tile_scores(contents.summaries), 'tiles', 'F1 per tile')
    return Section('tiles', 'F1 per tile', [Part(charts=chart, tables=[tables.tiles_table(contents.summaries)])])


def _objects(contents: Contents, drawn: Charts) -> Section:
    matching = ('Connected regions of ground truth and prediction match if their intersection over union is above one '
                'half. Houses that merge into one region, or a house in two pieces, do not match.')
    by_size = (f'By size, more tolerant: an object is found if at least {COVERED:.0%} of its pixels are predicted; a '
               f'predicted region is correct if at least {COVERED:.0%} of its pixels are changed.')
    chart = drawn.add(charts.draw_sizes(contents.summaries), 'sizes', 'Objects found and regions correct, by size')
    return Section('objects', 'Objects', [
        Part('Matched objects', matching, tables=[tables.matches_table(contents.summaries)]),
        Part('By size', by_size, chart),
        Part('Changed objects found', tables=[tables.objects_table(contents.summaries)]),
        Part('Predicted regions that are correct', tables=[tables.regions_table(contents.summaries)])])


def _costs(contents: Contents) -> Section:
    cost = next(iter(contents.costs.values()))
    text = f'One pair of {cost.side} × {cost.side} pixels, batch 1; a multiply-add is one FLOP.'
    if cost.timing is not None:
        text += f' Median time, and the quartiles below it, measured in turns on {cost.machine}.'
    return Section('costs', 'Cost', [Part(text=text, tables=[tables.costs_table(contents.summaries, contents.costs)])])


def _pictures(contents: Contents, folder: Path, number: int) -> Section:
    if not number:
        return Section('pictures', 'Pictures', [])
    parts = []
    for result in contents.results:
        albums = worst_and_best(result, number, folder / file_name(result.run.name))
        parts.append(Part(result.run.name, albums=[album for album in albums if album.shots],
                          folded=len(contents.results) > SHOWN_AT_ONCE))
    baseline = contents.results[0]
    albums = [differences(baseline, other, number) for other in contents.results[1:] if baseline.same_images(other)]
    if albums:
        parts.append(Part('Where the runs differ most', albums=albums, folded=len(albums) > SHOWN_AT_ONCE))
    parts[0].text = parts[0].text or (
        f'The tiles with most wrong pixels, and the best of those with at least {WORTH_SHOWING:.0%} change.')
    return Section('pictures', 'Pictures', parts)


def _head(contents: Contents, folder: Path, number: int) -> Section:
    chosen = spread_by_rank(contents.results[0].tiles, number)
    parts = []
    for result in contents.results if number else []:
        by_place = {(tile.name, tile.rows.start, tile.columns.start): tile for tile in result.tiles}
        places = [(tile.name, tile.rows.start, tile.columns.start) for tile in chosen]
        album = inside_the_head(result, contents.models[result.run.name],
                                [by_place[place] for place in places if place in by_place],
                                folder / file_name(result.run.name))
        if any(shot.maps for shot in album.shots):
            parts.append(Part(result.run.name, albums=[album], folded=len(contents.results) > SHOWN_AT_ONCE))
    if parts:
        parts[0].text = (
            'Gate: the mean weight that the AFF gives the trunk; orange where the trunk dominates, purple where the '
            'edge branch does, white where they are equal. Edge: the mean strength of the edge response, dark for '
            'none. The colour scale differs between maps; compare them by the numbers.')
    return Section('head', 'Inside the head', parts)


def _methods(contents: Contents) -> Section:
    sampling = contents.sampling
    units = contents.summaries[0].units
    images = contents.summaries[0].images
    unit = 'images' if units == images else f'scenes that the {images:,} tiles were cut from'
    text = [
        ('Intervals', f'Percentile bootstrap, {sampling.resamples:,} resamples of the {units:,} {unit}, because the '
         'pixels of one image are not independent of each other (Efron and Tibshirani 1993). F1 is pooled anew in each '
         'resample.'),
        ('Test', f'Paired randomisation, {sampling.permutations:,} random assignments or all where there are fewer, on '
         'the pooled F1 (Noreen 1989; Yeh, COLING 2000): how often a difference at least as large comes about when the '
         'results of the two runs are swapped at random on each image. Corrected for several runs after Holm (1979). '
         'The interval of the difference is from the bootstrap with the same images drawn for both runs. One training '
         'each: neither says how much another seed would change.'),
        ('Thresholds', 'Probabilities are stored in steps of 1/256, exact for a threshold such as 0.5; other '
         'thresholds are rounded to the nearest step.'),
    ]
    return Section('methods', 'Methods', [Part(title, text=body) for title, body in text])


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The page as HTML text."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template('report.html').render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        style=(TEMPLATES / 'report.css').read_text(encoding='utf-8'),
        colors=run_colors(),
        legend=[(meaning, _hex(channel / 255 for channel in color)) for meaning, color in OUTCOMES],
        made=f'{datetime.now():%Y-%m-%d %H:%M}',
        version=__version__)
