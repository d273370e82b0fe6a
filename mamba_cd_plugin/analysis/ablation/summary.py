"""The runs of an ablation, put together per config: means and spreads over the seeds."""
import statistics
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence

from .cost import ModelCost
from .outcome import Outcome
from .plan import Run


@dataclass
class Row:
    """One config in the table.

    Attributes:
        name: of the config.
        scores: by protocol and metric, the fraction that each seed reached.
        seeds: those that finished, in the order of the scores.
        epochs: that each of them trained.
        minutes: that each of them took to train.
        peak_mib: the highest peak memory of a training.
        errors: of the seeds that failed, each with its seed.
        cost: of the model; None before it is measured.
    """
    name: str
    scores: Dict[str, Dict[str, List[float]]] = field(default_factory=dict)
    seeds: List[int] = field(default_factory=list)
    epochs: List[int] = field(default_factory=list)
    minutes: List[float] = field(default_factory=list)
    peak_mib: float = 0.
    errors: List[str] = field(default_factory=list)
    cost: Optional[ModelCost] = None


def summarise_runs(runs: Sequence[Run], outcomes: Sequence[Outcome]) -> List[Row]:
    """One row per config, in the order of the plan."""
    rows: Dict[str, Row] = {}
    for run, outcome in zip(runs, outcomes):
        row = rows.setdefault(run.name, Row(run.name))
        row.peak_mib = max(row.peak_mib, outcome.peak_mib)
        if outcome.status != 'done':
            row.errors.append(f'seed {run.seed}: {outcome.error or "not finished"}')
            continue
        row.seeds.append(run.seed)
        row.epochs.append(outcome.epochs)
        row.minutes.append(outcome.seconds / 60)
        for protocol, scores in outcome.scores.items():
            for metric, value in scores.items():
                row.scores.setdefault(protocol, {}).setdefault(metric, []).append(value)
    return list(rows.values())


def protocols_of(rows: Sequence[Row]) -> List[str]:
    """The protocols that occur, the first pass of the tests first."""
    return list(dict.fromkeys(protocol for row in rows for protocol in row.scores))


def spread(values: Sequence[float]) -> Optional[float]:
    """Standard deviation of a sample; None for a single value, which says nothing about it."""
    return statistics.stdev(values) if len(values) > 1 else None
