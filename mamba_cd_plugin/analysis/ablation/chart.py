"""The changed-class F1 of every config of an ablation, as bars."""
import statistics
from pathlib import Path
from typing import Sequence, Union

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...visualization.curves import save_figure
from .summary import Row, protocols_of

# Palette of Okabe and Ito, distinct in every kind of colour blindness.
BAR_COLOR, SEED_COLOR, FAILED_COLOR = '#56B4E9', '#000000', '#D55E00'


def draw(rows: Sequence[Row], out_file: Union[str, Path]) -> None:
    """Draw the mean of each config, and a dot for each seed, into a PNG, which is replaced as a whole.

    Args:
        rows: of the table; the scores are those of its first protocol.
        out_file: the picture.
    """
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(rows)), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    protocol = next(iter(protocols_of(rows)), '')
    for place, row in enumerate(rows):
        values = [100 * value for value in row.scores.get(protocol, {}).get('changed_F1', [])]
        if not values:
            axes.annotate('failed', (0, place), xytext=(6, 0), textcoords='offset points', va='center', fontsize=9,
                          color=FAILED_COLOR)
            continue
        mean = statistics.fmean(values)
        axes.barh(place, mean, height=0.7, color=BAR_COLOR)
        axes.plot(values, [place] * len(values), linestyle='none', marker='|', markersize=12, color=SEED_COLOR)
        axes.annotate(f'{mean:.2f}', (max(values), place), xytext=(6, 0), textcoords='offset points', va='center',
                      fontsize=9)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=9)
    axes.set_xlim(0, 110)  # room for the numbers
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel(f'changed-class F1, %{f", {protocol}" if protocol else ""}: mean, and a mark for each seed')
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis='x')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    save_figure(figure, out_file)
