"""The results of an ablation per config, as Markdown, CSV and a bar chart.

Plain Python, not pandas: means over a few seeds, for which 84 MB would be installed.
"""
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...visualization.curves import save_figure
from ..complexity import ModelCost
from ..report_files import write_files
from .plan import Outcome, Trial

METRICS = ('changed_F1', 'changed_IoU', 'changed_precision', 'changed_recall')
FIELDS = ('config', 'protocol', 'seeds', 'F1', 'F1_sd', 'F1_of_seeds', 'IoU', 'precision', 'recall', 'parameters',
          'flops', 'seconds_per_pair', 'peak_mib', 'epochs', 'steps', 'minutes', 'cpu_minutes', 'errors')
HEAD = ('config', 'seeds', 'F1, %', 'IoU, %', 'precision, %', 'recall, %', 'parameters, M', 'FLOPs, G', 's per pair',
        'peak memory, MiB', 'epochs', 'steps', 'minutes', 'CPU minutes')
# Palette of Okabe and Ito, distinct in every kind of colour blindness.
BAR_COLOR, SEED_COLOR, FAILED_COLOR = '#56B4E9', '#000000', '#D55E00'


@dataclass
class Row:
    """One config in the table.

    Attributes:
        name: name of the config.
        scores: fraction that each seed reached, by protocol and metric.
        seeds: those that finished, in the order of the scores.
        epochs: number of epochs that each of them trained.
        steps: number of the optimizer's steps.
        minutes: duration of each of the trainings.
        cpu_minutes: time that the cores worked for each of them.
        peak_mib: the highest peak memory of a training.
        errors: errors of the failed trainings, each with its seed.
        cost: cost of the model; None before it is measured.
    """
    name: str
    scores: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)
    cpu_minutes: list[float] = field(default_factory=list)
    peak_mib: float = 0.
    errors: list[str] = field(default_factory=list)
    cost: ModelCost | None = None


def summarise_trials(trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> list[Row]:
    """One row per config, in the order of the plan."""
    rows: dict[str, Row] = {}
    for trial, outcome in zip(trials, outcomes):
        row = rows.setdefault(trial.name, Row(trial.name))
        row.peak_mib = max(row.peak_mib, outcome.peak_mib)
        if outcome.status != 'done':
            row.errors.append(f'seed {trial.seed}: {outcome.error or "not finished"}')
            continue
        row.seeds.append(trial.seed)
        row.epochs.append(outcome.epochs)
        row.steps.append(outcome.steps)
        row.minutes.append(outcome.seconds / 60)
        row.cpu_minutes.append(outcome.cpu_seconds / 60)
        for protocol, scores in outcome.scores.items():
            for metric, value in scores.items():
                row.scores.setdefault(protocol, {}).setdefault(metric, []).append(value)
    return list(rows.values())


def protocols_of(rows: Sequence[Row]) -> list[str]:
    """All protocols, in the order of the tests."""
    return list(dict.fromkeys(protocol for row in rows for protocol in row.scores))


def sample_deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for a single value."""
    return statistics.stdev(values) if len(values) > 1 else None


def records(rows: Sequence[Row]) -> Iterator[dict]:
    """A dict of ``FIELDS`` per config and protocol; None where a value is not known. Scores are fractions."""
    for protocol in protocols_of(rows) or ['']:
        for row in rows:
            found = row.scores.get(protocol, {})
            f1, iou, precision, recall = (found.get(metric, []) for metric in METRICS)
            cost, timing = row.cost, row.cost and row.cost.timing
            yield dict(
                config=row.name, protocol=protocol, seeds=len(f1), F1=_mean(f1), F1_sd=sample_deviation(f1),
                F1_of_seeds=' '.join(f'{seed}:{value:.4f}' for seed, value in zip(row.seeds, f1)), IoU=_mean(iou),
                precision=_mean(precision), recall=_mean(recall), parameters=cost and cost.parameters,
                flops=cost and cost.flops, seconds_per_pair=timing and timing.median,
                peak_mib=row.peak_mib or None, epochs=_mean(row.epochs), steps=_mean(row.steps),
                minutes=_mean(row.minutes), cpu_minutes=_mean(row.cpu_minutes),
                errors='; '.join(row.errors))


def ablation_markdown(rows: Sequence[Row], conditions: Sequence[str]) -> str:
    """A table per protocol, and the failed trials.

    Args:
        rows: rows of the table.
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


def write_ablation(rows: Sequence[Row], conditions: Sequence[str], out_dir: Path) -> list[Path]:
    """Write ``ablation.md``, ``ablation.csv`` and ``ablation.png``; gives their paths."""
    text = ablation_markdown(rows, conditions)
    return write_files(out_dir, 'ablation', text, FIELDS, records(rows), partial(draw_ablation, rows))


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _cells(record: dict) -> list[str]:
    f1 = _scaled(record['F1'], 100, 2) if record['seeds'] or not record['errors'] else '**failed**'
    if record['F1_sd'] is not None:
        f1 += f' ± {100 * record["F1_sd"]:.2f}'
    return [record['config'], str(record['seeds']), f1,
            *(_scaled(record[metric], 100, 2) for metric in ('IoU', 'precision', 'recall')),
            _scaled(record['parameters'], 1e-6, 2), _scaled(record['flops'], 1e-9, 2),
            _scaled(record['seconds_per_pair'], 1, 3), _scaled(record['peak_mib'], 1, 0),
            _scaled(record['epochs'], 1, 0), _scaled(record['steps'], 1, 0),
            _scaled(record['minutes'], 1, 1), _scaled(record['cpu_minutes'], 1, 1)]


def _scaled(value: float | None, factor: float, digits: int) -> str:
    return '' if value is None else f'{factor * value:.{digits}f}'


def draw_ablation(rows: Sequence[Row], out_file: str | Path) -> None:
    """Draw the mean of each config, and a dot for each seed, into a PNG, which is replaced as a whole.

    Args:
        rows: rows of the table; the scores are those of the first protocol.
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
