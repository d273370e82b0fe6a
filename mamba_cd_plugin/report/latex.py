"""The scores as a LaTeX table."""
from typing import Dict, Optional, Sequence

from .costs import RunCosts
from .summary import RunSummary

COLUMNS = {'changed_precision': 'P', 'changed_recall': 'R', 'changed_F1': 'F1', 'changed_IoU': 'IoU'}
_SPECIAL = {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}',
            **{sign: f'\\{sign}' for sign in '&%$#_{}'}}


def escape(text: str) -> str:
    """Text with LaTeX's special characters made harmless."""
    return ''.join(_SPECIAL.get(sign, sign) for sign in text)


def latex_table(summaries: Sequence[RunSummary], costs: Optional[Dict[str, RunCosts]] = None) -> str:
    """A booktabs table: a row a run, four columns a protocol, the best value of each column in bold.

    Args:
        summaries: The runs; one that was not tested by a protocol has dashes there.
        costs: Parameters and FLOPs of each run, put in front where they are known.
    """
    costs = costs or {}
    protocols = list(dict.fromkeys(protocol for summary in summaries for protocol in summary.protocols))
    before = ['Params (M)', 'FLOPs (G)'] if costs else []
    groups = ' & '.join(rf'\multicolumn{{{len(COLUMNS)}}}{{c}}{{{escape(protocol)}}}' for protocol in protocols)
    first = 2 + len(before)
    starts = [first + len(COLUMNS) * index for index in range(len(protocols))]
    rules = ' '.join(rf'\cmidrule(lr){{{start}-{start + len(COLUMNS) - 1}}}' for start in starts)
    head = ' & '.join(['Model', *before, *[name for _ in protocols for name in COLUMNS.values()]])
    lines = ['% needs \\usepackage{booktabs}; scores of the changed class in percent',
             rf'\begin{{tabular}}{{l{"r" * (len(before) + len(COLUMNS) * len(protocols))}}}', r'\toprule',
             rf'{"& " * (1 + len(before))}{groups} \\', rules, rf'{head} \\', r'\midrule']
    for summary in summaries:
        cells = [escape(summary.name)]
        if costs:
            cost = costs[summary.name]
            cells += [f'{cost.parameters / 1e6:.1f}', f'{cost.flops / 1e9:.1f}']
        for protocol in protocols:
            cells += [_cell(summaries, summary, protocol, key) for key in COLUMNS]
        lines.append(f'{" & ".join(cells)} \\\\')
    return '\n'.join([*lines, r'\bottomrule', r'\end{tabular}', ''])


def _cell(summaries: Sequence[RunSummary], summary: RunSummary, protocol: str, key: str) -> str:
    if protocol not in summary.protocols:
        return '--'
    values = [f'{100 * one.protocols[protocol].scores[key]:.2f}' for one in summaries if protocol in one.protocols]
    own = f'{100 * summary.protocols[protocol].scores[key]:.2f}'
    return rf'\textbf{{{own}}}' if len(values) > 1 and own == max(values, key=float) else own
