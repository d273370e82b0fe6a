"""Parameters and FLOPs of a model, part by part."""
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import build_part

from .parts import part_of
from .scan_flops import CountedScan, counted_scans, cross_scan_flops

HANDLES = {
    f'prim::PythonOp.{CountedScan.__name__}': cross_scan_flops,
    'aten::pad': None,  # these two compute nothing, but mmengine does not know them
    'aten::unflatten': None,
}


@dataclass(frozen=True)
class Cost:
    """What a part, or a whole model, costs.

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
    shape: Tuple[int, int]
    parts: Dict[str, Cost]
    uncounted: Dict[str, int]

    def sum_of(self, prefix: str = '') -> Cost:
        """The cost of the parts whose path starts with ``prefix``; of the whole model by default."""
        costs = [cost for name, cost in self.parts.items() if name.startswith(prefix)]
        return Cost(*(sum(getattr(cost, key) for cost in costs) for key in Cost.__dataclass_fields__))


class TrainingForward(nn.Module):
    """The outputs of a model that training computes: with deep supervision more than a prediction needs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tuple[Tensor, ...]:
        """A batch of pairs (N, 6, H, W) to the logits of every output."""
        return tuple(self.model.decode_head.all_logits(self.model.extract_feat(inputs)))


def build_model(cfg: Config, device: str = 'cpu') -> nn.Module:
    """A config's model, not initialised.

    Args:
        cfg: the whole config.
        device: where its tensors are made; on 'meta' they are shapes only, and the largest model takes no time.
    """
    with torch.device(device):
        return build_part(cfg.model)


def count_parameters(cfg: Config) -> int:
    """Number of parameters of a config's model."""
    return sum(p.numel() for p in build_model(cfg, device='meta').parameters())


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
    model = revert_sync_batchnorm(build_model(cfg)).eval()
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


def count_flops(model: nn.Module, inputs: Tensor) -> Tuple[Dict[str, int], Dict[str, int]]:
    """FLOPs of each module without its children's, by name, and how often which operator was not counted."""
    counter = FlopAnalyzer(model, (inputs, )).set_op_handle(**HANDLES)
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad(), counted_scans():
        totals = counter.by_module()
    own = {name: totals[name] - sum(totals[f'{name}.{child}' if name else child]
                                    for child, _ in module.named_children())
           for name, module in model.named_modules()}
    return own, {kind.split('::')[1]: times for kind, times in sorted(counter.unsupported_ops().items())}


def _by_part(counts: Dict[str, int]) -> Dict[str, int]:
    """Counts by module or parameter, added up by part."""
    parts: Dict[str, int] = {}
    for name, count in counts.items():
        parts[part_of(name)] = parts.get(part_of(name), 0) + count
    return parts
