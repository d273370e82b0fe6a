"""What the models of the runs cost: parameters, FLOPs, time."""
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Sequence

import torch
from torch import nn

from ..analysis.benchmark_report import describe_machine
from ..analysis.complexity import measure_complexity
from ..analysis.timing import Timing, alternate, summarise
from .run import Run

# Of each model, which take turns: enough for a dozen pairs on a slow processor.
SECONDS_PER_MODEL = 5.


@dataclass
class RunCosts:
    """Cost of one model on one pair of ``side`` x ``side`` pixels.

    Attributes:
        side: Of the pair.
        parameters: Number of weights.
        flops: Multiply-adds of one prediction, as :func:`..analysis.complexity.measure_complexity` counts them.
        timing: Seconds of one prediction; None where it was not measured.
        machine: Where it was measured.
    """
    side: int
    parameters: int
    flops: int
    timing: Optional[Timing] = None
    machine: str = ''


def measure_costs(runs: Sequence[Run], models: Dict[str, nn.Module], side: int, device: str,
                  timed: bool = True) -> Dict[str, RunCosts]:
    """Parameters, FLOPs and time of each run's model; the models are timed in turns, batch 1.

    Args:
        runs: The runs.
        models: Per name of a run its model, on the device.
        side: Height and width of the pair.
        device: Where the models are.
        timed: Whether to time them.
    """
    complexities = {run.name: measure_complexity(run.cfg, (side, side)).sum_of() for run in runs}
    timings: Dict[str, Timing] = {}
    if timed:
        steps = {name: _prediction(model, side, device) for name, model in models.items()}
        timings = summarise(alternate(steps, SECONDS_PER_MODEL * len(runs)))
    machine = torch.cuda.get_device_name(device) if device.startswith('cuda') else describe_machine()
    return {name: RunCosts(side, cost.parameters, cost.flops, timings.get(name), machine)
            for name, cost in complexities.items()}


def _prediction(model: nn.Module, side: int, device: str) -> Callable[[], object]:
    pair = torch.randn(1, 6, side, side, generator=torch.Generator().manual_seed(0)).to(device)

    def predict() -> object:
        with torch.inference_mode():
            return model(pair).cpu()  # waits for a GPU

    return predict
