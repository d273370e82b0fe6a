"""The benchmark: which cases are compared, their measurement, and its result as Markdown, CSV and picture."""
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.logging import print_log

from mamba_cd_plugin.ops import available_backends

from ..visualization.curves import save_figure
from .cases import EXPRESSIONS, IDENTITY, Case, import_factory, peak_memory, prepare, scan_inputs
from .machine import machine_line
from .report_files import write_files
from .timing import CLOCKS, Timing, alternate, summarise_times

SUITES = ('op', 'encoder', 'model', 'growth')
OP_SHAPES = ((2, 4, 96, 4096, 1), (2, 4, 96, 4096, 16))
# A plain loop over the pixels takes minutes in a whole model.
TOO_SLOW_FOR_NETWORKS = ('ref', )


@dataclass(frozen=True)
class Settings:
    """What to run.

    Attributes:
        config: file of the model.
        suites: some of ``SUITES``.
        backends: scan backends; the first is the one whose growth is measured.
        other: ``package.module:factory`` of another model to run beside ours, or ''.
        other_train: whether a training step of it is timed too.
        op_shapes: (N, K, C, L, S) of the scans.
        size: side of the pair in pixels.
        growth: sides of the pairs of the growth suite.
        seconds: time budget of each group of cases.
        min_rounds: samples of the slowest case.
        clock: a name in ``timing.CLOCKS``.
        memory: whether peak memory is measured.
        threads: number of threads of torch.
    """
    config: str
    suites: Sequence[str] = SUITES
    backends: Sequence[str] = ('c', 'torch', 'ref')
    other: str = ''
    other_train: bool = False
    op_shapes: Sequence[Sequence[int]] = OP_SHAPES
    size: int = 256
    growth: Sequence[int] = (128, 256, 512, 1024)
    seconds: float = 60.
    min_rounds: int = 3
    clock: str = 'wall'
    memory: bool = True
    threads: int = 2


@dataclass
class Group:
    """Cases that are compared with each other.

    Attributes:
        title: title of the table.
        baseline: name of the case that the ratios refer to.
        cases: cases to measure.
        timings: timing of each case.
        memory: peak memory of each case, MiB above the imported libraries.
        bound: seconds in which the inputs are read and the output written once; None where that says nothing.
    """
    title: str
    baseline: str
    cases: list[Case]
    timings: dict[str, Timing] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    bound: float | None = None

    @property
    def grows(self) -> bool:
        """Whether the cases differ in size only."""
        return len({tuple(case.shape) for case in self.cases}) > 1


def usable_backends(wanted: Sequence[str]) -> list[str]:
    """Those of the wanted backends that this machine has; a missing one is logged with the reason."""
    usable = []
    for name, (there, reason) in available_backends().items():
        if name in wanted and there:
            usable.append(name)
        elif name in wanted:
            print_log(f'backend {name!r} is left out: {reason}', level=logging.WARNING)
    return sorted(usable, key=list(wanted).index)


def _op_groups(settings: Settings, backends: Sequence[str]) -> list[Group]:
    groups = []
    for shape in settings.op_shapes:
        size = 'N {}, K {}, C {}, L {}, S {}'.format(*shape)
        for train in (False, True):
            # Autograd through the loop takes half a minute for one state, and grows with them.
            scans = [name for name in backends if name != 'ref' or not train or shape[-1] == 1]
            cases = [Case(name, 'op', name, train, shape, threads=settings.threads) for name in (*EXPRESSIONS, *scans)]
            what = 'forward and backward' if train else 'forward'
            groups.append(Group(f'scan, {what} ({size})', 'u + delta', cases))
    return groups


def _network_groups(settings: Settings, backends: Sequence[str], kind: str) -> list[Group]:
    groups = []
    names = [IDENTITY, *(name for name in backends if name not in TOO_SLOW_FOR_NETWORKS)]
    shape = (1, settings.size, settings.size)
    for train in (False, True):
        cases = [Case(name, kind, name, train, shape, settings.config, threads=settings.threads) for name in names]
        if settings.other and kind == 'model' and (settings.other_train or not train):
            cases.append(replace(cases[0], name=settings.other, scan='auto', other=settings.other))
        what = 'training step' if train else 'forward'
        groups.append(Group(f'{kind}, {what}, one pair of {settings.size} px', IDENTITY, cases))
    return groups


def _growth_group(settings: Settings, backends: Sequence[str]) -> Group:
    cases = [Case(f'{size} px', 'model', backends[0], False, (1, size, size), settings.config, threads=settings.threads)
             for size in settings.growth]
    baseline = f'{settings.size} px' if settings.size in settings.growth else cases[0].name
    return Group(f'model, forward, growth with the side of the pair (scan {backends[0]!r})', baseline, cases)


def plan(settings: Settings) -> list[Group]:
    """The groups of all suites, not yet measured.

    Raises:
        ValueError: if a suite is unknown, none of the backends is there, or ``other`` names no factory.
    """
    unknown = set(settings.suites) - set(SUITES)
    if unknown:
        raise ValueError(f'unknown suites {sorted(unknown)}; there are {", ".join(SUITES)}')
    if settings.other:
        import_factory(settings.other)  # a wrong name shows now, not after minutes
    backends = usable_backends(settings.backends)
    if not backends:
        raise ValueError(f'none of the backends {list(settings.backends)} is available on this machine')
    groups = []
    for suite in settings.suites:
        if suite == 'op':
            groups += _op_groups(settings, backends)
        elif suite == 'growth':
            groups.append(_growth_group(settings, backends))
        else:
            groups += _network_groups(settings, backends, suite)
    return groups


def streaming_bound(case: Case, seconds_of_sum: float) -> float:
    """Seconds in which a scan's inputs are read and its outputs written once, at the speed of ``u + delta``.

    Forward: u, delta, B, C in, y out. Backward besides: the same and the gradient of y in, four gradients out.

    Args:
        case: an op.
        seconds_of_sum: time of ``u + delta`` on the same tensors, which moves three arrays of the size of u.
    """
    tensors = scan_inputs(case.shape)
    u, delta, b, c = (tensors[name].numel() for name in ('u', 'delta', 'B', 'C'))
    moved = 2 * u + delta + b + c
    if case.train:
        moved += 2 * (u + delta + b + c) + u
    return seconds_of_sum * moved / (3 * u)


def measure_group(group: Group, settings: Settings) -> Group:
    """Time the cases of a group in turns, and their memory one after another in processes of their own."""
    functions = {case.name: prepare(case) for case in group.cases}
    times = alternate(functions, settings.seconds, settings.min_rounds, clock=CLOCKS[settings.clock])
    functions.clear()  # the models' memory is free for the processes that follow
    group.timings = summarise_times(times, group.baseline)
    if group.cases[0].kind == 'op':
        group.bound = streaming_bound(group.cases[0], group.timings[group.baseline].median)
    if settings.memory:
        group.memory = {case.name: peak_memory(case)['above_start'] for case in group.cases
                        if case.scan not in EXPRESSIONS}
    return group


def run(settings: Settings) -> list[Group]:
    """Measure everything, with a line of progress for each group."""
    groups = plan(settings)
    for index, group in enumerate(groups, 1):
        print_log(f'[{index}/{len(groups)}] {group.title}')
        measure_group(group, settings)
    return groups


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


def _table(group: Group) -> list[str]:
    table = [('case', 'median, ms', 'quartiles, ms', 'samples', 'ratio', 'best ratio', 'x bound', 'peak, MiB'),
             ('---', *['---:'] * 7)]
    for row in rows([group]):
        quartiles = f"{_number(row['q1_ms'])} to {_number(row['q3_ms'])}"
        numbers = [_number(row[name]) for name in ('samples', 'ratio', 'best_ratio', 'times_bound', 'peak_mib')]
        table.append((row['case'], _number(row['median_ms']), quartiles, *numbers))
    return [f'| {" | ".join(cells)} |' for cells in table]


def benchmark_markdown(groups: Sequence[Group]) -> str:
    """A table per group."""
    lines = ['# Benchmark', '', machine_line(), '',
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


def draw_benchmark(groups: Sequence[Group], out_file: str | Path) -> None:
    """Draw every group, two in a row, into a PNG, which is replaced as a whole."""
    count = len(groups)
    figure = Figure(figsize=(13, 2.6 * ((count + 1) // 2) + 0.6), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(machine_line(), fontsize=9)
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


def write_benchmark(groups: Sequence[Group], out_dir: str | Path) -> list[Path]:
    """Write ``benchmark.md``, ``benchmark.csv`` and ``benchmark.png``; gives their paths."""
    text = benchmark_markdown(groups)
    return write_files(Path(out_dir), 'benchmark', text, FIELDS, rows(groups), partial(draw_benchmark, groups))
