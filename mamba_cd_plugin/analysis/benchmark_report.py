"""What the benchmark found, as a Markdown table, a CSV file and a picture."""
from functools import partial
from pathlib import Path
from typing import Iterator, List, Sequence, Union

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..visualization.curves import save_figure
from .benchmark import Group
from .machine import describe_machine
from .report_files import write_files

FIELDS = ('group', 'case', 'median_ms', 'q1_ms', 'q3_ms', 'best_ms', 'samples', 'ratio', 'best_ratio', 'baseline',
          'bound_ms', 'times_bound', 'peak_mib')
# Palette of Okabe and Ito, distinct in every kind of colour blindness.
BAR_COLOR, BASELINE_COLOR, MEMORY_COLOR = '#0072B2', '#999999', '#D55E00'


def rows(groups: Sequence[Group]) -> Iterator[dict]:
    """One dict of ``FIELDS`` per case; empty text where a value does not apply."""
    for group in groups:
        best = group.timings[group.baseline].best
        for name, timing in group.timings.items():
            bound = group.bound
            yield dict(group=group.title, case=name, median_ms=1e3 * timing.median, q1_ms=1e3 * timing.low,
                       q3_ms=1e3 * timing.high, best_ms=1e3 * timing.best, samples=timing.samples, ratio=timing.ratio,
                       best_ratio=timing.best / best, baseline=group.baseline,
                       bound_ms='' if bound is None else 1e3 * bound,
                       times_bound='' if bound is None else timing.median / bound, peak_mib=group.memory.get(name, ''))


def _number(value: object) -> str:
    return f'{value:.3g}' if isinstance(value, float) and value < 1000 else f'{value:.0f}' if value != '' else ''


def _table(group: Group) -> List[str]:
    table = [('case', 'median, ms', 'quartiles, ms', 'samples', 'ratio', 'best ratio', 'x bound', 'peak, MiB'),
             ('---', *['---:'] * 7)]
    for row in rows([group]):
        quartiles = f"{_number(row['q1_ms'])} to {_number(row['q3_ms'])}"
        numbers = [_number(row[name]) for name in ('samples', 'ratio', 'best_ratio', 'times_bound', 'peak_mib')]
        table.append((row['case'], _number(row['median_ms']), quartiles, *numbers))
    return [f'| {" | ".join(cells)} |' for cells in table]


def markdown(groups: Sequence[Group]) -> str:
    """A table per group."""
    lines = ['# Benchmark', '', describe_machine(), '',
             'Calls taken in turns. "Ratio" is the median over the rounds of this time over that of the baseline,',
             '"best ratio" that of the shortest times, which the rest of the machine disturbed least. The bound is the',
             'time to read the inputs and write the outputs once, at the speed of `u + delta`. Peak memory is what a',
             'process of its own needs above the imported libraries.']
    for group in groups:
        bound = '' if group.bound is None else f'; bound: {1e3 * group.bound:.3g} ms'
        lines += ['', f'## {group.title}', '', f'Baseline: {group.baseline}{bound}.', '', *_table(group)]
    return '\n'.join(lines) + '\n'


def _draw_bars(axes: Axes, group: Group) -> None:
    names = list(group.timings)
    values = [1e3 * group.timings[name].median for name in names]
    spread = [[value - 1e3 * group.timings[name].low for name, value in zip(names, values)],
              [1e3 * group.timings[name].high - value for name, value in zip(names, values)]]
    colors = [BASELINE_COLOR if name == group.baseline else BAR_COLOR for name in names]
    axes.barh(names, values, xerr=spread, color=colors, error_kw=dict(linewidth=1))
    for name, value in zip(names, values):
        axes.annotate(f'{value:.3g} ms  ({group.timings[name].ratio:.3g} x)', (value, name), xytext=(6, 0),
                      textcoords='offset points', va='center', fontsize=8)
    if group.bound is not None:
        axes.axvline(1e3 * group.bound, color='black', linestyle=':', linewidth=1, label='streaming bound')
        axes.legend(fontsize=7, frameon=False, loc='lower right')
    axes.set_xscale('log')
    axes.set_xlim(min(values) / 2, max(values) * 20)  # room for the numbers
    axes.invert_yaxis()


def _draw_growth(axes: Axes, group: Group) -> None:
    sides = [case.shape[-1] for case in group.cases]
    seconds = [group.timings[case.name].median for case in group.cases]
    base = [case.name for case in group.cases].index(group.baseline)
    axes.plot(sides, seconds, marker='o', color=BAR_COLOR, label='time, s')
    axes.plot(sides, [seconds[base] * (side / sides[base])**2 for side in sides], color=BASELINE_COLOR, linestyle='--',
              label='in proportion to the pixels')
    if group.memory:
        axes.plot(sides, [group.memory[case.name] / 1024 for case in group.cases], marker='s', color=MEMORY_COLOR,
                  label='peak memory, GiB')
    axes.set_xscale('log', base=2)
    axes.set_yscale('log')
    axes.set_xticks(sides, [f'{side} px' for side in sides])
    axes.legend(fontsize=8, frameon=False)


def draw(groups: Sequence[Group], out_file: Union[str, Path]) -> None:
    """Draw every group, two in a row, into a PNG, which is replaced as a whole."""
    count = len(groups)
    figure = Figure(figsize=(13, 2.6 * ((count + 1) // 2) + 0.6), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(describe_machine(), fontsize=9)
    all_axes = figure.subplots((count + 1) // 2, 2, squeeze=False).flatten()
    for axes, group in zip(all_axes, groups):
        draw_group = _draw_growth if group.grows else _draw_bars
        draw_group(axes, group)
        axes.set_title(group.title, fontsize=9)
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in all_axes[count:]:
        axes.remove()
    save_figure(figure, out_file)


def write_report(groups: Sequence[Group], out_dir: Union[str, Path]) -> List[Path]:
    """Write ``benchmark.md``, ``benchmark.csv`` and ``benchmark.png``; gives their paths."""
    return write_files(Path(out_dir), 'benchmark', markdown(groups), FIELDS, rows(groups), partial(draw, groups))
