"""The curves of a training as one picture: losses above, validation scores below."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..io.files import whole_file

# Palette of Okabe and Ito, distinct in every kind of colour blindness; black for what the eye should go to first.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
SCORES = ('changed_F1', 'changed_precision', 'changed_recall')


def draw_curves(losses: dict[str, tuple[Sequence[float], Sequence[float]]],
                scores: dict[str, tuple[Sequence[float], Sequence[float]]],
                out_file: str | Path,
                monitor: str = 'changed_F1',
                unit: str = 'epoch',
                title: str = '') -> None:
    """Draw losses and validation scores over a common axis and mark the best validation.

    Args:
        losses: Positions and values of ``loss``, the sum, and of each term.
        scores: Positions and values of each score, fractions.
        out_file: PNG to write; it is replaced as a whole, never half.
        monitor: Score whose best value is marked.
        unit: Unit of the positions.
        title: Above the picture.
    """
    figure = Figure(figsize=(9, 6.5), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title, fontsize=11)
    _draw_lines(upper, losses, 'loss', 'training loss')
    _draw_lines(lower, {name: (x, [100 * value for value in y]) for name, (x, y) in scores.items()}, monitor,
                'validation, %', marker='.')
    lower.set_ylim(0, 100)
    lower.set_xlabel(unit)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    if scores.get(monitor, ((), ()))[0]:
        _mark_best((upper, lower), *scores[monitor], unit)
    for axes in (upper, lower):
        if axes.lines:
            axes.legend(fontsize=8, frameon=False, ncols=2)
    save_figure(figure, out_file)


def _draw_lines(axes: Axes, curves: dict[str, tuple[Sequence[float], Sequence[float]]], main: str, label: str,
                marker: str = '') -> None:
    names: list[str] = sorted(curves, key=lambda name: name != main)
    colors = iter(COLORS * len(names))
    for name in names:
        style: dict[str, Any] = dict(color='black', linewidth=1.8, zorder=3) if name == main else \
            dict(color=next(colors), linewidth=1.1)
        axes.plot(*curves[name], label=name.replace('decode.', ''), marker=marker, **style)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)


def _mark_best(all_axes: Sequence[Axes], positions: Sequence[float], values: Sequence[float], unit: str) -> None:
    best = max(range(len(values)), key=lambda index: values[index])
    for axes in all_axes:
        axes.axvline(positions[best], color='grey', linestyle=':', linewidth=1)
    label = f'best: {100 * values[best]:.2f} % in {unit} {positions[best]:g}'
    all_axes[-1].plot(positions[best], 100 * values[best], marker='*', markersize=14, color='#E69F00', zorder=4,
                      markeredgecolor='black', linestyle='none', label=label)


def save_figure(figure: Figure, out_file: str | Path) -> None:
    """Write a figure as PNG, which is replaced as a whole: a reader sees the old picture or the new one."""
    with whole_file(out_file) as part:
        figure.savefig(part, format='png')
