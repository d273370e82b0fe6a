"""The table of an ablation, as Markdown and CSV."""
import statistics
from functools import partial
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from ..report_files import write_files
from .chart import draw
from .summary import Row, protocols_of, spread

METRICS = ('changed_F1', 'changed_IoU', 'changed_precision', 'changed_recall')
FIELDS = ('config', 'protocol', 'seeds', 'F1', 'F1_sd', 'F1_of_seeds', 'IoU', 'precision', 'recall', 'parameters',
          'flops', 'seconds_per_pair', 'peak_mib', 'epochs', 'minutes', 'errors')
HEAD = ('config', 'seeds', 'F1, %', 'IoU, %', 'precision, %', 'recall, %', 'parameters, M', 'FLOPs, G', 's per pair',
        'peak memory, MiB', 'epochs', 'minutes')


def records(rows: Sequence[Row]) -> Iterator[dict]:
    """A dict of ``FIELDS`` per config and protocol; None where a value is not known. Scores are fractions."""
    for protocol in protocols_of(rows) or ['']:
        for row in rows:
            found = row.scores.get(protocol, {})
            f1, iou, precision, recall = (found.get(metric, []) for metric in METRICS)
            cost = row.cost
            yield dict(
                config=row.name, protocol=protocol, seeds=len(f1), F1=_mean(f1), F1_sd=spread(f1),
                F1_of_seeds=' '.join(f'{seed}:{value:.4f}' for seed, value in zip(row.seeds, f1)), IoU=_mean(iou),
                precision=_mean(precision), recall=_mean(recall), parameters=cost and cost.parameters,
                flops=cost and cost.flops, seconds_per_pair=cost and cost.seconds, peak_mib=row.peak_mib or None,
                epochs=_mean(row.epochs), minutes=_mean(row.minutes), errors='; '.join(row.errors))


def markdown(rows: Sequence[Row], conditions: Sequence[str]) -> str:
    """A table per protocol, and what failed.

    Args:
        rows: of the table.
        conditions: sentences on how it was measured.
    """
    lines = ['# Ablation', '', *conditions]
    table = list(records(rows))
    for protocol in dict.fromkeys(record['protocol'] for record in table):
        lines += ['', f'## Tested on {protocol}' if protocol else '## Results', '',
                  f'| {" | ".join(HEAD)} |', f'|---|{"---:|" * (len(HEAD) - 1)}']
        lines += [f'| {" | ".join(_cells(record))} |' for record in table if record['protocol'] == protocol]
    failed = [f'- {row.name}, {error}' for row in rows for error in row.errors]
    return '\n'.join([*lines, *(['', '## Failed', '', *failed] if failed else [])]) + '\n'


def write_report(rows: Sequence[Row], conditions: Sequence[str], out_dir: Path) -> List[Path]:
    """Write ``ablation.md``, ``ablation.csv`` and ``ablation.png``; gives their paths."""
    return write_files(out_dir, 'ablation', markdown(rows, conditions), FIELDS, records(rows), partial(draw, rows))


def _mean(values: Sequence[float]) -> Optional[float]:
    return statistics.fmean(values) if values else None


def _cells(record: dict) -> List[str]:
    f1 = _scaled(record['F1'], 100, 2) if record['seeds'] or not record['errors'] else '**failed**'
    if record['F1_sd'] is not None:
        f1 += f' ± {100 * record["F1_sd"]:.2f}'
    return [record['config'], str(record['seeds']), f1,
            *(_scaled(record[metric], 100, 2) for metric in ('IoU', 'precision', 'recall')),
            _scaled(record['parameters'], 1e-6, 2), _scaled(record['flops'], 1e-9, 2),
            _scaled(record['seconds_per_pair'], 1, 3), _scaled(record['peak_mib'], 1, 0),
            _scaled(record['epochs'], 1, 0), _scaled(record['minutes'], 1, 1)]


def _scaled(value: Optional[float], factor: float, digits: int) -> str:
    return '' if value is None else f'{factor * value:.{digits}f}'
