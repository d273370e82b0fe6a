"""What a conversion says at its end."""
from .catalog import DatasetFacts
from .holdout import Tiling
from .runner import SplitReport

# How many problems of one split are named.
_MAX_PROBLEMS = 20


def format_reports(facts: DatasetFacts, tiling: Tiling, out: str, reports: dict[str, SplitReport]) -> str:
    """The counts of each split against the official ones, what is missing, and what to do."""
    lines = [f'{facts.title} in {out}: tiles of {tiling.size} x {tiling.size}, overlap {tiling.overlap}',
             f'{"split":8}{"images":>18}{"tiles":>22}  state']
    for split, report in reports.items():
        images = f'{report.images:,} of {report.expected.images:,}'
        tiles = f'{report.tiles:,} of {report.expected.tiles:,}'
        lines.append(f'{split:8}{images:>18}{tiles:>22}  {_state(report)}')
    if 'val' not in facts.splits and 'val' in reports:
        lines.append(f'{facts.title} has no official validation split: the end of train was set aside for it.')
    for split, report in reports.items():
        if report.problems:
            lines.append(f'{split}:\n  {_listed(report.problems)}')
    if not all(report.is_in_place for report in reports.values()):
        lines.append('Add or replace these files and run the same command again; what is done is kept. '
                     '--accept-incomplete takes the splits as they are.')
    return '\n'.join(lines)


def _listed(problems: list[str]) -> str:
    shown = '\n  '.join(problems[:_MAX_PROBLEMS])
    more = len(problems) - _MAX_PROBLEMS
    return shown + (f'\n  and {more} more' if more > 0 else '')


def _state(report: SplitReport) -> str:
    if report.is_complete:
        return 'complete'
    if report.is_in_place:
        return 'incomplete, accepted'
    return f'incomplete, in {report.path}' if report.tiles else 'missing'
