"""What each model of an ablation costs: parameters, FLOPs, seconds per pair."""
from dataclasses import dataclass
from typing import Dict, Sequence

import torch

from ..cases import Case, prepare
from ..complexity import measure_complexity
from ..timing import alternate, summarise
from .plan import Run


@dataclass(frozen=True)
class ModelCost:
    """Of one model, for one pair.

    Attributes:
        parameters: their number.
        flops: multiply-adds of a prediction.
        seconds: median time of the forward pass.
    """
    parameters: int
    flops: int
    seconds: float


def measure_costs(runs: Sequence[Run], size: int = 256, seconds: float = 5.) -> Dict[str, ModelCost]:
    """Measure the model of every config, their times in turns, so that a slow moment of the machine hits all alike.

    Args:
        runs: with their configs written; one per config.
        size: side of the pair in pixels.
        seconds: of timing per config, about.

    Returns:
        The cost by the name of the config.
    """
    shape, threads = (1, size, size), torch.get_num_threads()
    cases = [Case(run.name, 'model', 'auto', False, shape, str(run.config_file), threads=threads) for run in runs]
    times = summarise(alternate({case.name: prepare(case) for case in cases}, seconds * len(cases)))
    counts = {run.name: measure_complexity(run.cfg, (size, size)).sum_of() for run in runs}
    return {name: ModelCost(count.parameters, count.flops, times[name].median) for name, count in counts.items()}
