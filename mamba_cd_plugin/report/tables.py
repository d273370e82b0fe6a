"""The tables of the page and the LaTeX table.

Not pandas: its Styler has no rule below a group of columns and no second line in a cell; it would save some 20 lines
and cost 84 MB and 0.6 s of import.
"""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..analysis.complexity import ModelCost
from .regions import SizeScores
from .results import Comparison, Results, RunSummary
from .runs import describe_parts

SCORE_NAMES = {'changed_F1': 'F1', 'changed_IoU': 'IoU', 'changed_precision': 'Precision', 'changed_recall': 'Recall',
               'OA': 'OA', 'Kappa': 'Kappa'}
LATEX_NAMES = {'changed_precision': 'P', 'changed_recall': 'R', 'changed_F1': 'F1', 'changed_IoU': 'IoU'}
_SPECIAL = {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}',
            **{sign: f'\\{sign}' for sign in '&%$#_{}'}}


@dataclass
class Cell:
    """One cell.

    Attributes:
        text: Value.
        note: Small print below the value.
        strong: Whether it is the best value of its column.
        number: Whether it is right-aligned, with tabular figures.
        run: Index of the run whose colour is shown.
    """
    text: str
    note: str = ''
    strong: bool = False
    number: bool = True
    run: int | None = None


@dataclass
class Table:
    """Rows of cells below a head."""
    head: list[str]
    rows: list[list[Cell]] = field(default_factory=list)


def percent(value: float, digits: int = 2) -> str:
    """Format a fraction in percent."""
    return f'{100 * value:.{digits}f}'


def signed(value: float, digits: int = 2) -> str:
    """Format a difference of fractions in percentage points, with its sign."""
    return f'{100 * value:+.{digits}f}'.replace('-', '−')


def p_text(p: float) -> str:
    """Format a p value."""
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


def mark_best(table: Table, column: int, key: Callable[[str], float] = float, lowest: bool = False) -> None:
    """Mark the best values of a column, if its values differ."""
    cells = [row[column] for row in table.rows if row[column].text != '–']
    if len({cell.text for cell in cells}) > 1:
        best = (min if lowest else max)(key(cell.text) for cell in cells)
        for cell in cells:
            cell.strong = key(cell.text) == best


def _name(index: int, name: str) -> Cell:
    return Cell(name, number=False, run=index)


def runs_table(results: Sequence[Results], summaries: Sequence[RunSummary]) -> Table:
    """Checkpoint and test set of each run."""
    table = Table(['Run', 'Checkpoint', 'Images', 'Size', 'Changed', 'Threshold'])
    for index, (result, summary) in enumerate(zip(results, summaries)):
        sizes = [f'{width} × {height}' for height, width in summary.sizes]
        size = sizes[0] if len(sizes) == 1 else f'{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}'
        table.rows.append([
            Cell(summary.name, describe_parts(result.run), number=False, run=index),
            Cell(result.run.checkpoint.name, number=False), Cell(f'{summary.images:,}'), Cell(size),
            Cell(f'{percent(summary.changed)} %'), Cell(f'{summary.threshold:.3g}')])
    return table


def scores_table(summaries: Sequence[RunSummary], protocol: str) -> Table:
    """Scores of one protocol with their intervals."""
    table = Table(['Run', *SCORE_NAMES.values()])
    for index, summary in enumerate(summaries):
        if protocol not in summary.protocols:
            continue
        scores = summary.protocols[protocol]
        notes = {key: f'{percent(low, 1)} to {percent(high, 1)}' for key, (low, high) in scores.intervals.items()}
        table.rows.append([_name(index, summary.name),
                           *[Cell(percent(scores.scores[key]), notes.get(key, '')) for key in SCORE_NAMES]])
    for column in range(1, len(table.head)):
        mark_best(table, column)
    return table


def threshold_table(summaries: Sequence[RunSummary], protocol: str) -> Table:
    """The threshold in use and the best one."""
    table = Table(['Run', 'Threshold', 'F1', 'Best threshold', 'F1 there', 'Precision there', 'Recall there'])
    for index, summary in enumerate(summaries):
        if protocol not in summary.protocols:
            continue
        scores = summary.protocols[protocol]
        best = scores.best_scores
        table.rows.append([
            _name(index, summary.name), Cell(f'{summary.threshold:.3g}'), Cell(percent(scores.scores['changed_F1'])),
            Cell(f'{scores.best_threshold:.2f}'),
            *[Cell(percent(best[key])) for key in ('changed_F1', 'changed_precision', 'changed_recall')]])
    return table


def calibration_table(summaries: Sequence[RunSummary], protocol: str) -> Table:
    """Expected calibration error and Brier score."""
    table = Table(['Run', 'Expected calibration error', 'Brier score'])
    for index, summary in enumerate(summaries):
        if protocol in summary.protocols:
            calibration = summary.protocols[protocol].calibration
            table.rows.append([_name(index, summary.name), Cell(f'{percent(calibration.ece)} %'),
                               Cell(f'{calibration.brier:.4f}')])
    return table


def comparison_table(comparisons: Sequence[Comparison], names: Sequence[str]) -> Table:
    """Results of the paired tests."""
    table = Table(['Run', 'Protocol', 'Difference of F1', 'p', 'p, corrected', 'Better on', 'Worse on'])
    for one in comparisons:
        low, high = one.interval
        table.rows.append([
            _name(names.index(one.run), one.run), Cell(one.protocol, number=False),
            Cell(signed(one.difference), f'{signed(low, 1)} to {signed(high, 1)}'), Cell(p_text(one.p)),
            Cell(p_text(one.p_holm)), Cell(f'{one.better:,}'), Cell(f'{one.worse:,}')])
    return table


def tiles_table(summaries: Sequence[RunSummary]) -> Table:
    """Summary of the scores per tile."""
    table = Table(['Run', 'Tiles with change', 'Median F1', 'F1 below 50 %', 'Tiles without change',
                   'of them with false positives'])
    for index, summary in enumerate(summaries):
        tiles, values = summary.tiles, sorted(summary.tiles.f1)
        median = percent((values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2, 1) if values else '–'
        poor = percent(sum(value < 0.5 for value in values) / len(values), 1) + ' %' if values else '–'
        table.rows.append([
            _name(index, summary.name), Cell(f'{len(values):,}'), Cell(median), Cell(poor),
            Cell(f'{tiles.unchanged:,}'), Cell(f'{tiles.false_positives:,}')])
    return table


def matches_table(summaries: Sequence[RunSummary]) -> Table:
    """Precision, recall and F1 of objects that are matched at IoU above 0.5."""
    table = Table(['Run', 'Objects', 'Predicted', 'Matched', 'Precision', 'Recall', 'F1'])
    for index, summary in enumerate(summaries):
        counts = summary.matches
        table.rows.append([_name(index, summary.name),
                           *(Cell(f'{count:,}') for count in (counts.truth, counts.predicted, counts.matched)),
                           *(Cell(percent(share, 1)) for share in (counts.precision, counts.recall, counts.f1))])
    for column in (4, 5, 6):
        mark_best(table, column)
    return table


def objects_table(summaries: Sequence[RunSummary]) -> Table:
    """Recall of changed objects by size."""
    return _by_size(summaries, lambda size: (size.object_recall, size.found, size.objects))


def regions_table(summaries: Sequence[RunSummary]) -> Table:
    """Precision of predicted regions by size."""
    return _by_size(summaries, lambda size: (size.object_precision, size.right, size.predicted))


def _by_size(summaries: Sequence[RunSummary], values: Callable[[SizeScores], tuple[float, int, int]]) -> Table:
    table = Table(['Run', *[f'{size.label} px' for size in summaries[0].objects]])
    for index, summary in enumerate(summaries):
        row = [_name(index, summary.name)]
        for size in summary.objects:
            share, some, of = values(size)
            row.append(Cell(percent(share, 1), f'{some:,} of {of:,}') if of else Cell('–'))
        table.rows.append(row)
    for column in range(1, len(table.head)):
        mark_best(table, column)
    return table


def costs_table(summaries: Sequence[RunSummary], costs: Mapping[str, ModelCost]) -> Table:
    """Parameters, FLOPs and, if measured, time."""
    timed = any(cost.timing for cost in costs.values())
    table = Table(['Run', 'Parameters, M', 'FLOPs, G', *(['Seconds per pair', 'Pairs per second'] if timed else [])])
    for index, summary in enumerate(summaries):
        cost = costs[summary.name]
        row = [_name(index, summary.name), Cell(f'{cost.parameters / 1e6:.2f}'), Cell(f'{cost.flops / 1e9:.2f}')]
        if cost.timing is not None:
            row += [Cell(f'{cost.timing.median:.3f}', f'{cost.timing.low:.3f} to {cost.timing.high:.3f}'),
                    Cell(f'{1 / cost.timing.median:.1f}')]
        table.rows.append(row)
    for column in range(1, len(table.head)):
        mark_best(table, column, lowest=column < 4)
    return table


def escape(text: str) -> str:
    """Escape LaTeX's special characters."""
    return ''.join(_SPECIAL.get(sign, sign) for sign in text)


def latex_table(summaries: Sequence[RunSummary], costs: Mapping[str, ModelCost] | None = None) -> str:
    """A booktabs table: one row per run, four columns per protocol, the best value of each column in bold.

    Args:
        summaries: The runs; dashes for a protocol that a run was not tested by.
        costs: Parameters and FLOPs by the name of the run, as first columns.
    """
    costs = costs or {}
    protocols = list(dict.fromkeys(protocol for summary in summaries for protocol in summary.protocols))
    before = ['Params (M)', 'FLOPs (G)'] if costs else []
    groups = ' & '.join(rf'\multicolumn{{{len(LATEX_NAMES)}}}{{c}}{{{escape(protocol)}}}' for protocol in protocols)
    first = 2 + len(before)
    starts = [first + len(LATEX_NAMES) * index for index in range(len(protocols))]
    rules = ' '.join(rf'\cmidrule(lr){{{start}-{start + len(LATEX_NAMES) - 1}}}' for start in starts)
    head = ' & '.join(['Model', *before, *[name for _ in protocols for name in LATEX_NAMES.values()]])
    lines = ['% needs \\usepackage{booktabs}; scores of the changed class in percent',
             rf'\begin{{tabular}}{{l{"r" * (len(before) + len(LATEX_NAMES) * len(protocols))}}}', r'\toprule',
             rf'{"& " * (1 + len(before))}{groups} \\', rules, rf'{head} \\', r'\midrule']
    for summary in summaries:
        cells = [escape(summary.name)]
        if costs:
            cost = costs[summary.name]
            cells += [f'{cost.parameters / 1e6:.1f}', f'{cost.flops / 1e9:.1f}']
        for protocol in protocols:
            cells += [_cell(summaries, summary, protocol, key) for key in LATEX_NAMES]
        lines.append(f'{" & ".join(cells)} \\\\')
    return '\n'.join([*lines, r'\bottomrule', r'\end{tabular}', ''])


def _cell(summaries: Sequence[RunSummary], summary: RunSummary, protocol: str, key: str) -> str:
    if protocol not in summary.protocols:
        return '--'
    values = [f'{100 * one.protocols[protocol].scores[key]:.2f}' for one in summaries if protocol in one.protocols]
    own = f'{100 * summary.protocols[protocol].scores[key]:.2f}'
    return rf'\textbf{{{own}}}' if len(values) > 1 and own == max(values, key=float) else own
