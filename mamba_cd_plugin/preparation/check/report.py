"""What a check says: a table with the findings below it, or JSON."""
from dataclasses import asdict
from typing import Any

import numpy as np

from ...io.pictures import shorten
from .checker import CheckResult
from .findings import LEVELS, SplitFacts, common_shift, measured_shifts

_COLUMNS = ('split', 'pairs', 'size', 'changed', 'without change', 'near-empty', 'B beside A (right, down)', 'typical',
            'measured')


def format_result(result: CheckResult) -> str:
    """Table of the splits, and the findings as text."""
    rows = [_COLUMNS, *(_row(result, split) for split in result.splits)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    for finding in result.findings:
        names = f'\n    {len(finding.names)}: {shorten(finding.names)}' if finding.names else ''
        lines.append(f'{finding.level.upper()} {finding.check}{f" in {finding.split}" if finding.split else ""}: '
                     f'{finding.message}{names}')
    counts = ', '.join(f'{result.count(level)} {level}{"" if result.count(level) == 1 else "s"}' for level in LEVELS)
    lines.append(f'{result.root}: {counts}')
    return '\n'.join(lines)


def as_json(result: CheckResult) -> dict[str, Any]:
    """Everything that was found, for scripts: splits with their numbers, and findings with all names."""
    return dict(root=result.root, limits=asdict(result.limits),
                splits=[summarize_split(result, split) for split in result.splits],
                findings=[asdict(finding) for finding in result.findings])


def summarize_split(result: CheckResult, split: SplitFacts) -> dict[str, Any]:
    """Numbers of one split.

    Returns:
        ``pairs``; ``sizes`` (width x height with their counts); ``changed`` (share of all pixels);
        ``without_change`` and ``near_empty`` (tiles); ``common_shift`` ((dx, dy) in px or None); ``typical_shift``
        (median distance in px or None); ``measured_shifts`` (number), ``shifts`` (by name: dx, dy, certainty).
    """
    distances = [shift.distance for _, shift in measured_shifts(split, result.limits)]
    sizes: dict[str, int] = {}
    for _, file in split.each_file('A'):
        size = 'unreadable' if file.size is None else f'{file.size[0]} x {file.size[1]}'
        sizes[size] = sizes.get(size, 0) + 1
    return dict(
        name=split.name, pairs=len(split.pairs), sizes=sizes, changed=split.changed if split.labelled else None,
        without_change=sum(pair.changed_pixels == 0 for pair in split.labelled),
        near_empty=sum(0 < pair.changed <= result.limits.sliver for pair in split.labelled),
        common_shift=common_shift(split, result.limits), measured_shifts=len(distances),
        typical_shift=float(np.median(distances)) if distances else None,
        shifts={pair.name: pair.shift._asdict() for pair in split.pairs if pair.shift})


def _row(result: CheckResult, split: SplitFacts) -> tuple[str, ...]:
    numbers = summarize_split(result, split)
    common, typical = numbers['common_shift'], numbers['typical_shift']
    return (split.name or '(all)', f'{numbers["pairs"]:,}',
            ', '.join(numbers['sizes']) if len(numbers['sizes']) < 3 else f'{len(numbers["sizes"])} sizes',
            '-' if numbers['changed'] is None else f'{numbers["changed"]:.2%}', f'{numbers["without_change"]:,}',
            f'{numbers["near_empty"]:,}', f'{common[0]:+.2f}, {common[1]:+.2f} px' if common else '-',
            '-' if typical is None else f'{typical:.2f} px', f'{numbers["measured_shifts"]:,}')
