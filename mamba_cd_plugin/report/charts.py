"""The charts of the report, as figures and as inline SVG."""
import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from xml.etree import ElementTree

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..engine.history import History
from ..visualization.curves import COLORS
from .pixels import LEVELS, f1, precision, recall
from .results import Comparison, Results, RunSummary

# Drawn in exactly these colours, and replaced by what the page's style sheet says.
INK, GRID = '#2b2d30', '#d4d7db'
PAGE_COLORS = {INK: 'currentColor', GRID: 'var(--line)'}
# The palette of the package and four more, so that ten runs have distinct colours.
RUN_COLORS = (*COLORS, '#7B4B94', '#8C6D31', '#6E7276', '#A3AD00')
STROKES = ('-', '--', ':')
# With more runs the numbers overlap and the bars are too thin.
FEW = 3


def style(index: int) -> dict:
    """Colour and line style of the run with this index."""
    return dict(color=RUN_COLORS[index % len(RUN_COLORS)],
                linestyle=STROKES[index // len(RUN_COLORS) % len(STROKES)])


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure in the style of the report; width and height in inches."""
    figure = Figure(figsize=(width, height), dpi=150, layout='constrained')
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    all_axes = list(np.atleast_1d(figure.subplots(1, columns)))
    for axes in all_axes:
        axes.patch.set_alpha(0)
        axes.spines[['top', 'right']].set_visible(False)
        axes.spines[['left', 'bottom']].set_color(GRID)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=8, length=0)
    return figure, all_axes


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Label both axes."""
    axes.set_xlabel(x, fontsize=8.5, color=INK)
    axes.set_ylabel(y, fontsize=8.5, color=INK)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Add a legend above the figure if there are several lines."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        columns = 5 if max(map(len, labels)) < 20 else 3
        figure.legend(handles, labels, loc='outside upper left', ncols=columns, fontsize=8, frameon=False,
                      labelcolor=INK)


def draw_training(histories: Mapping[str, History], monitor: str = 'changed_F1') -> Figure | None:
    """Training loss and validation F1 over the epochs, the best validation of each run marked; None without either."""
    if not any(history.train or history.val for history in histories.values()):
        return None
    figure, (left, right) = new_figure(9, 3.2, 2)
    units = set()
    for index, (name, history) in enumerate(histories.items()):
        per_epoch, unit = iterations_per_epoch(history)
        units.add(unit)
        left.plot([line['iter'] / per_epoch for line in history.train], [line['loss'] for line in history.train],
                  label=name, linewidth=1.2, **style(index))
        known = [line for line in history.val if monitor in line]
        steps, values = [line['step'] for line in known], [100 * line[monitor] for line in known]
        right.plot(steps, values, label=name, marker='.', linewidth=1.2, **style(index))
        if values:
            best = int(np.argmax(values))
            right.plot(steps[best], values[best], marker='*', markersize=13, color=style(index)['color'],
                       markeredgecolor=INK, markeredgewidth=0.6, linestyle='none')
            if len(histories) <= FEW:
                right.annotate(f'{values[best]:.1f}', (steps[best], values[best]), xytext=(0, 8), fontsize=8, color=INK,
                               textcoords='offset points', ha='center')
    left.set_ylim(bottom=0)
    right.set_ylim(0, 100)
    for axes, what in ((left, 'training loss'), (right, 'validation F1, %')):
        label_axes(axes, ' or '.join(sorted(units)), what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(figure, left)
    return figure


def iterations_per_epoch(history: History) -> tuple[float, str]:
    """Iterations per epoch, and the unit of the validation steps.

    A line of iteration i in epoch e says that an epoch has at least i / e, and one at the end of an epoch just that.
    """
    ratios = [line['iter'] / line['epoch'] for line in history.train if line.get('epoch')]
    return (max(ratios), 'epoch') if ratios else (1, 'iteration')


def draw_thresholds(results: Sequence[Results], summaries: Sequence[RunSummary], protocol: str) -> Figure:
    """Precision over recall and F1 over the threshold; a dot at the threshold in use, a star at the best one."""
    figure, (left, right) = new_figure(9, 3.8, 2)
    thresholds = np.arange(1, LEVELS) / LEVELS
    for index, (run, summary) in enumerate(zip(results, summaries)):
        if protocol not in run.histograms:
            continue
        sweep, scores = run.sweep(protocol), summary.protocols[protocol]
        p, r, f = (100 * score(sweep) for score in (precision, recall, f1))
        drawn = sweep.tp + sweep.fp > 0  # where nothing is predicted there is no precision
        left.plot(r[drawn], p[drawn], linewidth=1.4, label=run.run.name, **style(index))
        right.plot(thresholds, f[1:], linewidth=1.4, label=run.run.name, **style(index))
        for level, marker, size in ((run.level, 'o', 5), (round(scores.best_threshold * LEVELS), '*', 12)):
            mark = dict(marker=marker, markersize=size, color=style(index)['color'], linestyle='none', zorder=4,
                        markeredgecolor=INK, markeredgewidth=0.6)
            left.plot(r[level], p[level], **mark)
            right.plot(level / LEVELS, f[level], **mark)
    left.set_xlim(0, 100)
    left.set_ylim(0, 100)
    right.set_xlim(0, 1)
    right.set_ylim(0, 100)
    _draw_f1_lines(left)
    label_axes(left, 'recall, %', 'precision, %')
    label_axes(right, 'threshold', 'F1, %')
    add_legend(figure, right)
    return figure


def _draw_f1_lines(axes: Axes) -> None:
    """Lines of equal F1 behind the curves: F = 2pr / (p + r), hence p = Fr / (2r - F)."""
    for value in (20, 40, 60, 80, 90):
        r = np.linspace(value / 2 + 0.1, 100, 200)
        p = value * r / (2 * r - value)
        axes.plot(r[p <= 100], p[p <= 100], color=GRID, linewidth=0.8, zorder=1)
        axes.annotate(f'F1 {value}', (100, value * 100 / (200 - value)), xytext=(3, 0), textcoords='offset points',
                      fontsize=6.5, color=INK, alpha=0.6, va='center', annotation_clip=False)


def draw_calibration(summaries: Sequence[RunSummary], protocol: str) -> Figure:
    """Reliability diagram, and the share of pixels by predicted probability."""
    figure, (left, right) = new_figure(9, 3.8, 2)
    left.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=':')
    for index, summary in enumerate(summaries):
        if protocol not in summary.protocols:
            continue
        calibration = summary.protocols[protocol].calibration
        drawn = [(100 * p, 100 * f) for p, f in zip(calibration.probability, calibration.frequency) if p is not None]
        left.plot(*zip(*drawn), marker='.', linewidth=1.2, label=summary.name, **style(index))
        shares = 100 * np.asarray(calibration.pixels) / max(sum(calibration.pixels), 1)
        right.stairs(shares, np.linspace(0, 100, len(shares) + 1), linewidth=1.4, **style(index))
    left.set_ylim(0, 100)
    right.set_yscale('log')
    right.set_ylim(0.01, 100)
    right.yaxis.set_major_formatter('{x:g}')
    right.tick_params(which='minor', length=0)
    for axes, what in ((left, 'of them changed, %'), (right, 'share of all pixels, %')):
        axes.set_xlim(0, 100)
        label_axes(axes, 'predicted probability of change, %', what)
    add_legend(figure, left)
    return figure


def draw_tile_scores(summaries: Sequence[RunSummary]) -> Figure:
    """Histogram of F1 over the tiles with change; for many runs the cumulative distribution."""
    figure, (axes, ) = new_figure(9, 2.8)
    (_draw_tile_bars if len(summaries) <= FEW else _draw_tile_shares)(axes, summaries)
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 10))
    add_legend(figure, axes)
    return figure


def _draw_tile_bars(axes: Axes, summaries: Sequence[RunSummary]) -> None:
    edges = np.linspace(0, 100, 21)
    bin_width = edges[1] - edges[0]
    width = 0.9 * bin_width / len(summaries)
    for index, summary in enumerate(summaries):
        numbers, _ = np.histogram(100 * np.asarray(summary.tiles.f1), bins=edges)
        left = edges[:-1] + 0.05 * bin_width + index * width
        axes.bar(left, numbers, width=width, align='edge', label=summary.name, color=style(index)['color'])
    axes.grid(axis='x', visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    label_axes(axes, 'F1 of the tile, %', 'tiles with change')


def _draw_tile_shares(axes: Axes, summaries: Sequence[RunSummary]) -> None:
    for index, summary in enumerate(summaries):
        values = np.sort(100 * np.asarray(summary.tiles.f1))
        shares = 100 * np.arange(1, len(values) + 1) / max(len(values), 1)
        axes.step([0, *values, 100], [0, *shares, 100], where='post', linewidth=1.3, label=summary.name, **style(index))
    axes.set_ylim(0, 100)
    label_axes(axes, 'F1, %', 'tiles up to this F1, %')


def draw_sizes(summaries: Sequence[RunSummary]) -> Figure:
    """Object recall and precision by size."""
    figure, both = new_figure(9, 2.8, 2)
    width = 0.8 / len(summaries)
    for axes, key, what in zip(both, ('object_recall', 'object_precision'), ('found, %', 'correct, %')):
        for index, summary in enumerate(summaries):
            places = np.arange(len(summary.objects)) - 0.4 + (index + 0.5) * width
            values = [100 * getattr(size, key) for size in summary.objects]
            axes.bar(places, values, width=0.9 * width, label=summary.name, color=style(index)['color'])
        axes.set_xticks(range(len(summaries[0].objects)), [size.label for size in summaries[0].objects])
        axes.set_ylim(0, 100)
        axes.grid(axis='x', visible=False)
        label_axes(axes, 'area, pixels', what)
    both[0].set_title('changed objects', fontsize=9, color=INK)
    both[1].set_title('predicted regions', fontsize=9, color=INK)
    add_legend(figure, both[0])
    return figure


def draw_comparison(comparisons: Sequence[Comparison]) -> Figure:
    """Difference in F1 between each run and the first one, with its interval."""
    figure, (axes, ) = new_figure(9, 0.9 + 0.32 * len(comparisons))
    places: dict[str, int] = {}
    markers = dict(zip(dict.fromkeys(one.protocol for one in comparisons), cycle('os^D')))
    for index, one in enumerate(comparisons):
        label = f'{one.run}, {one.protocol}'
        places[label] = index
        low, high = (100 * limit for limit in one.interval)
        axes.plot([low, high], [index, index], color=INK, linewidth=1.4)
        axes.plot(100 * one.difference, index, marker=markers[one.protocol], color=COLORS[0], markersize=6)
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=':')
    axes.set_yticks(list(places.values()), list(places))
    axes.set_ylim(len(comparisons) - 0.5, -0.5)
    label_axes(axes, f'F1 minus F1 of {comparisons[0].baseline}, percentage points', '')
    return figure


def to_inline_svg(figure: Figure, name: str, label: str, colors: Mapping[str, str]) -> str:
    """The ``<svg>`` element of a figure, which follows the light or dark colours of its page.

    Text stays text in the font of the page. Its ids start with ``name``, because a page holds several figures, and
    matplotlib numbers the parts of each alike.

    Args:
        figure: Figure with a transparent background.
        name: Prefix of the ids, unique on the page.
        label: Description for screen readers.
        colors: Replacements of colours as CSS values, besides those of the ink and the grid.
    """
    file = io.StringIO()
    with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': name}):
        figure.savefig(file, format='svg', transparent=True)
    root = ElementTree.fromstring(file.getvalue())
    replaced = {color.lower(): value for color, value in {**PAGE_COLORS, **colors}.items()}
    for element in root.iter():
        for child in list(element):
            # matplotlib's style sheet would apply to the whole page; report.css says the same of charts.
            if _local(child.tag) in ('metadata', 'style') or child.tag is ElementTree.Comment:
                element.remove(child)
        attributes = {_local(key): value for key, value in element.attrib.items()}
        if 'style' in attributes:
            rules = (rule.partition(':')[::2] for rule in attributes['style'].split(';') if rule.strip())
            attributes['style'] = '; '.join(_css(key.strip(), value.strip(), replaced) for key, value in rules)
        if 'id' in attributes:
            attributes['id'] = f'{name}-{attributes["id"]}'
        for key, value in attributes.items():
            attributes[key] = value.replace('url(#', f'url(#{name}-')
        if attributes.get('href', '').startswith('#'):
            attributes['href'] = f'#{name}-{attributes["href"][1:]}'
        element.tag, element.attrib = _local(element.tag), attributes
    # The size follows the page; the view box keeps the proportions.
    root.attrib = {'viewBox': root.attrib['viewBox'], 'role': 'img', 'aria-label': label}
    return ElementTree.tostring(root, encoding='unicode')


def _local(name: str) -> str:
    """Name of a tag or attribute without its namespace."""
    return name.rpartition('}')[2] if isinstance(name, str) else name


def _css(key: str, value: str, colors: Mapping[str, str]) -> str:
    """One CSS rule with the colours and the font of the page."""
    if key in ('font', 'font-family'):  # `font: 8px 'DejaVu Sans', ...`, or with other versions the family alone
        value = f"{value.partition(chr(39))[0]}var(--font)"
    return f'{key}: {colors.get(value.lower(), value)}'
