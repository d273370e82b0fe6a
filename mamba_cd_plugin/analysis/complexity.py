"""Parameters and FLOPs of models part by part, the selective scan included, and the time of a prediction."""
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.analysis.jit_handles import get_shape
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from ..models import layers
from ..models.layers import build_part
from .machine import machine_line
from .timing import Timing, alternate, summarise_times

# Steps of the path that make a part of their own; where none fits, the first two are.
PARTS = (
    'decode_head.levels.skip.block',
    'decode_head.levels.skip',
    'decode_head.levels.squeeze',
    'decode_head.levels.edge',
    'decode_head.levels.fusion',
)
# Rows of the table that add up the parts below them.
GROUPS = ('backbone', 'neck', 'decode_head')


@dataclass(frozen=True)
class Cost:
    """Cost of a part or of a whole model.

    Attributes:
        parameters: number of weights.
        flops: multiply-adds of one prediction.
        training_flops: multiply-adds of the forward pass of a training step.
    """
    parameters: int
    flops: int
    training_flops: int


@dataclass(frozen=True)
class Complexity:
    """Cost of a model on one pair.

    Attributes:
        shape: height and width of the pair, pixels.
        parts: cost of each part, in the order of the model's modules.
        uncounted: operators that the count leaves out, with how often a prediction calls them.
    """
    shape: tuple[int, int]
    parts: dict[str, Cost]
    uncounted: dict[str, int]

    def sum_of(self, prefix: str = '') -> Cost:
        """The cost of the parts whose path starts with ``prefix``; of the whole model by default."""
        costs = [cost for name, cost in self.parts.items() if name.startswith(prefix)]
        return Cost(*(sum(getattr(cost, key) for cost in costs) for key in Cost.__dataclass_fields__))


@contextmanager
def replaced_scan(function: Callable[..., Tensor]) -> Iterator[None]:
    """Context in which every SS2D calls ``function`` instead of ``cross_selective_scan``."""
    original = layers.cross_selective_scan
    layers.cross_selective_scan = function
    try:
        yield
    finally:
        layers.cross_selective_scan = original


def scan_flops(elements: int, states: int) -> int:
    """FLOPs of one selective scan: 9 per element and state, 1 per element for the direct path D.

    The count of Mamba's authors (state-spaces/mamba, issue 110), which VMamba's published figures follow: it is that
    of the parallel scan, with the discretisation (exp(delta A), delta B u), the recurrence and the sum over the states.

    Args:
        elements: N * L * C of one direction.
        states: S.
    """
    return elements * (9 * states + 1)


def cross_scan_flops(inputs: list[Any], outputs: list[Any]) -> Counter:
    """mmengine's handle for a traced :class:`CountedScan`: the four scans, and the steps raised from their low rank."""
    x, _, dt_weight, decay = (get_shape(value) for value in inputs[:4])
    directions, _, rank = dt_weight
    elements = directions * prod(x)
    return Counter(scan=scan_flops(elements, decay[2]), linear=elements * rank)


class CountedScan(torch.autograd.Function):
    """Stands for the scan in a trace, as one operator that computes nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, proj: Tensor, dt_weight: Tensor, decay: Tensor) -> Tensor:
        """Arguments of ``cross_selective_scan`` to a tensor of its output's shape.

        ``proj`` is only passed through the trace, which drops what nothing reads, and its linear layer with it.
        """
        return torch.zeros_like(x)


def counted_scans() -> AbstractContextManager:
    """Context in which the scan of every SS2D is a :class:`CountedScan`.

    A trace sees the same operator then whatever backend the machine has; the plain PyTorch scan would fall apart into
    hundreds.
    """
    return replaced_scan(lambda x, proj, dt_weight, dt_bias, A, D, **_: CountedScan.apply(x, proj, dt_weight, A))


HANDLES = {
    f'prim::PythonOp.{CountedScan.__name__}': cross_scan_flops,
    'aten::pad': None,  # these two compute nothing, but mmengine does not know them
    'aten::unflatten': None,
}


class TrainingForward(nn.Module):
    """The outputs of a model that training computes: with deep supervision more than a prediction needs."""

    model: Any

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """A batch of pairs (N, 6, H, W) to the logits of every output."""
        return tuple(self.model.decode_head.all_logits(self.model.extract_feat(inputs)))


def uninitialised_model(cfg: Config, device: str = 'cpu') -> nn.Module:
    """A config's model, not initialised.

    Args:
        cfg: the whole config.
        device: where its tensors are made; on 'meta' they are shapes only, and the largest model takes no time.
    """
    with torch.device(device):
        return build_part(cfg.model)


def count_parameters(cfg: Config) -> int:
    """Number of parameters of a config's model."""
    return sum(p.numel() for p in uninitialised_model(cfg, device='meta').parameters())


def measure_complexity(cfg: Config, shape: Sequence[int] = (256, 256)) -> Complexity:
    """Count the parameters and FLOPs of a config's model on one pair.

    As in mmengine and fvcore one multiply-add is one FLOP. Counted are convolutions, linear layers and matrix products,
    norms (5 per element, BatchNorm 2), bilinear interpolation (4) and the selective scan (:func:`.scan_flops`); element
    by element operators such as activations and sums are not, and are listed.

    Args:
        cfg: the whole config.
        shape: height and width of the pair, pixels.

    Raises:
        ValueError: if the shape is no pair of positive numbers.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f'shape: got {tuple(shape)}, expected height and width in pixels')
    model = revert_sync_batchnorm(uninitialised_model(cfg)).eval()
    pair = torch.zeros(1, 6, *shape)
    predicting, uncounted = count_flops(model, pair)
    training = predicting
    if getattr(model.decode_head, 'level_outputs', None) is not None:
        wrapped, _ = count_flops(TrainingForward(model), pair)
        training = {name.partition('.')[2]: flops for name, flops in wrapped.items()}
    counts = [_by_part(count) for count in ({name: p.numel() for name, p in model.named_parameters()},
                                            predicting, training)]
    names = dict.fromkeys(name for count in counts for name, number in count.items() if number)
    return Complexity((shape[0], shape[1]), {name: Cost(*(count.get(name, 0) for count in counts)) for name in names},
                      uncounted)


def count_flops(model: nn.Module, inputs: Tensor) -> tuple[dict[str, int], dict[str, int]]:
    """FLOPs of each module without its children's, by name, and how often which operator was not counted."""
    counter = FlopAnalyzer(model, (inputs, )).set_op_handle(**HANDLES)
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad(), counted_scans():
        totals = counter.by_module()
    own = {name: totals[name] - sum(totals[f'{name}.{child}' if name else child]
                                    for child, _ in module.named_children())
           for name, module in model.named_modules()}
    return own, {kind.split('::')[1]: times for kind, times in sorted(counter.unsupported_ops().items())}


def _by_part(counts: dict[str, int]) -> dict[str, int]:
    """Counts by module or parameter, added up by part."""
    parts: dict[str, int] = {}
    for name, count in counts.items():
        parts[part_of(name)] = parts.get(part_of(name), 0) + count
    return parts


def part_of(name: str) -> str:
    """The part that a module or parameter belongs to: its path without numbers, truncated.

    All levels and stages count as one: ``backbone.stages.2.0.ss2d.Ds`` is in ``backbone.stages``, and
    ``decode_head.levels.3.skip.block.vss.norm1.weight`` in ``decode_head.levels.skip.block``, the trunk's blocks.
    """
    path = '.'.join(step for step in name.split('.') if not step.isdigit())
    for part in PARTS:
        if path == part or path.startswith(f'{part}.'):
            return part
    return '.'.join(path.split('.')[:2])


def as_json(complexity: Complexity) -> dict:
    """Everything counted, as plain data: whole numbers of weights and of multiply-adds."""
    return dict(
        shape=list(complexity.shape),
        total=asdict(complexity.sum_of()),
        parts={name: asdict(cost) for name, cost in complexity.parts.items()},
        uncounted_operators=complexity.uncounted)


def _row(name: str, cost: Cost) -> tuple[str, ...]:
    return (name, f'{cost.parameters / 1e6:.3f}', f'{cost.flops / 1e9:.3f}', f'{cost.training_flops / 1e9:.3f}')


def format_complexity(complexity: Complexity) -> str:
    """A Markdown table with a row per part, and the operators that are not counted."""
    table = [('part', 'parameters, M', 'FLOPs, G', 'in training, G'), ('---', *['---:'] * 3)]
    for group in GROUPS:
        table.append(_row(f'**{group}**', complexity.sum_of(f'{group}.')))
        table += [_row(name, cost) for name, cost in complexity.parts.items() if name.startswith(f'{group}.')]
    table.append(_row('**total**', complexity.sum_of()))
    height, width = complexity.shape
    lines: list[str] = [f'| {" | ".join(cells)} |' for cells in table]
    left_out = ', '.join(f'{name} ({times})' for name, times in complexity.uncounted.items())
    return '\n'.join([
        *lines, '',
        f'FLOPs: multiply-adds of the forward pass on one pair of {height} x {width} px; in training with the outputs '
        'that only the loss reads.',
        f'Not counted, element by element operators of the prediction: {left_out or "none"}.'])


@dataclass(frozen=True)
class ModelCost:
    """Cost of a model for one pair of ``side`` x ``side`` pixels.

    Attributes:
        side: Height and width of the pair.
        parameters: Number of weights.
        flops: Multiply-adds of a prediction, see :func:`measure_complexity`.
        timing: Seconds of a prediction; None where it was not measured.
        machine: Description of the machine it was measured on.
    """
    side: int
    parameters: int
    flops: int
    timing: Timing | None = None
    machine: str = ''


def measure_costs(cfgs: Mapping[str, Config], side: int, seconds: float | None = 5., device: str = 'cpu',
                  models: Mapping[str, nn.Module] | None = None) -> dict[str, ModelCost]:
    """Parameters, FLOPs and time of several models; they are timed in turns, so that a slow moment hits all alike.

    Args:
        cfgs: Whole configs by name.
        side: Height and width of the pair.
        seconds: Approximate duration of the timing per model; None to skip it.
        device: Device of the models.
        models: Models by name on the device, to be timed instead of new ones.
    """
    counts = {name: measure_complexity(cfg, (side, side)).sum_of() for name, cfg in cfgs.items()}
    timings: dict[str, Timing] = {}
    if seconds is not None:
        ready = {name: (models or {}).get(name) or uninitialised_model(cfg).to(device).eval()
                 for name, cfg in cfgs.items()}
        timings = summarise_times(alternate({name: _prediction(model, side, device) for name, model in ready.items()},
                                            seconds * len(ready)))
    machine = torch.cuda.get_device_name(device) if device.startswith('cuda') else machine_line()
    return {name: ModelCost(side, cost.parameters, cost.flops, timings.get(name), machine)
            for name, cost in counts.items()}


def _prediction(model: nn.Module, side: int, device: str) -> Callable[[], object]:
    pair = torch.randn(1, 6, side, side, generator=torch.Generator().manual_seed(0)).to(device)

    def predict() -> object:
        with torch.inference_mode():
            return model(pair).cpu()  # waits for a GPU

    return predict
