"""What a score costs: the F1 of every config over its training and over one prediction, as one picture."""
from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...visualization.curves import COLORS, save_figure
from .table import Row, protocols_of, sample_deviation

# More configs than colours share a colour and differ by their marker.
MARKERS = 'osD^vP'


def drawable_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows that have both a score, by the first protocol of the table, and a measured cost."""
    protocol = next(iter(protocols_of(rows)), '')
    return [row for row in rows if row.scores.get(protocol, {}).get('changed_F1') and row.cost and row.cost.timing]


def draw_costs(rows: Sequence[Row], out_file: str | Path) -> None:
    """Draw F1 over CPU minutes of training, and over seconds per pair.

    Args:
        rows: of the table; the scores are those of its first protocol.
        out_file: PNG to write; it is replaced as a whole.
    """
    protocol, shown = next(iter(protocols_of(rows)), ''), drawable_rows(rows)
    figure = Figure(figsize=(11, 5.5), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    _scatter(left, shown, protocol, lambda row: statistics.fmean(row.cpu_minutes))
    left.set_xlabel('CPU minutes of the training')
    left.set_ylabel(f'changed-class F1, %{f", {protocol}" if protocol else ""}: mean, and ± standard deviation')
    _scatter(right, shown, protocol, lambda row: row.cost.timing.median)
    right.set_xlabel('seconds per pair')
    figure.legend(*left.get_legend_handles_labels(), loc='outside right upper', fontsize=8, frameon=False)
    save_figure(figure, out_file)


def _scatter(axes: Axes, rows: Sequence[Row], protocol: str, cost: Callable[[Row], float]) -> None:
    for index, row in enumerate(rows):
        values = [100 * value for value in row.scores[protocol]['changed_F1']]
        axes.errorbar(cost(row), statistics.fmean(values), yerr=sample_deviation(values), label=row.name, capsize=3,
                      marker=MARKERS[index // len(COLORS) % len(MARKERS)], color=COLORS[index % len(COLORS)],
                      linestyle='none')
    axes.set_xlim(0, 1.05 * max(map(cost, rows)))  # no mark on the edge, where half of it would be cut off
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
