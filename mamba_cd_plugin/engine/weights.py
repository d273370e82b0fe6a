"""Comparison of the weights of a checkpoint with those of a model."""
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

# How many names a message shows of each kind: enough to recognise another version by, short enough for one line.
SHOWN = 4


class OtherWeightsError(ValueError):
    """The weights of a checkpoint are not those of the model."""


@dataclass(frozen=True)
class WeightsFit:
    """How the weights of a checkpoint fit a model.

    Attributes:
        taken: Names of the model whose shape the checkpoint has too.
        missing: Names that only the model has.
        unexpected: Names that only the checkpoint has.
        reshaped: Names of both, with the shape in the checkpoint and the one in the model.
        unusable: Names of both, with what the checkpoint holds that would become other numbers: complex ones, integers
            for floating point, sparse tensors, or no values at all.
        share: Share of the model's numbers (not names) that the checkpoint provides, 0..1.
    """
    taken: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    reshaped: dict[str, tuple[tuple, tuple]] = field(default_factory=dict)
    share: float = 0.
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the checkpoint holds just the weights of the model."""
        return not (self.missing or self.unexpected or self.reshaped or self.unusable)

    def difference(self) -> str:
        """The weights that do not fit, in one line."""
        parts = []
        if self.reshaped:
            parts.append(f'{len(self.reshaped)} have another shape (' + _some(
                [f'{name} is {list(found)} and should be {list(expected)}'
                 for name, (found, expected) in self.reshaped.items()]) + ')')
        if self.unusable:
            parts.append(f'{len(self.unusable)} are of a type that the model does not take (' + _some(
                [f'{name} is {kind}' for name, kind in self.unusable.items()]) + ')')
        if self.missing:
            parts.append(f'{len(self.missing)} of the model are missing ({_some(self.missing)})')
        if self.unexpected:
            parts.append(f'{len(self.unexpected)} are unknown to the model ({_some(self.unexpected)})')
        return '; '.join(parts) or 'nothing differs'


def fit_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> WeightsFit:
    """Compare the weights of a checkpoint with those of a model, by name and shape.

    Args:
        model: The model; its wrappers, distributed or for test-time augmentation, do not count.
        state_dict: Weights of the checkpoint. A leading ``module.`` of the names is left out, as mmengine does.
    """
    inner: Any = model
    while is_model_wrapper(inner) or isinstance(inner, BaseTTAModel):
        inner = inner.module
    own = inner.state_dict()
    given = {re.sub(r'^module\.', '', name): value for name, value in state_dict.items()}
    alike = [name for name in own if name in given and own[name].shape == given[name].shape]
    unusable = {name: kind for name in alike for kind in [_unusable(given[name], own[name])] if kind}
    same = [name for name in alike if name not in unusable]
    reshaped = {name: (tuple(given[name].shape), tuple(own[name].shape))
                for name in own if name in given and own[name].shape != given[name].shape}
    # BatchNorm's counter of steps: absent from checkpoints of old versions, and mmengine does without it too.
    missing = [name for name in own if name not in given and not name.endswith('num_batches_tracked')]
    total = sum(value.numel() for value in own.values())
    return WeightsFit(same, missing, [name for name in given if name not in own], reshaped,
                      sum(own[name].numel() for name in same) / total if total else 0., unusable)


def _unusable(given: Tensor, own: Tensor) -> str:
    """Type of weights that the model would convert to other values; '' if it would not."""
    if given.is_meta:
        return 'without values'
    if given.layout != own.layout:
        return str(given.layout).removeprefix('torch.')
    kinds = [(each.is_complex(), each.is_floating_point()) for each in (given, own)]
    return '' if kinds[0] == kinds[1] else str(given.dtype).removeprefix('torch.')


def weights_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The weights in a checkpoint: under ``state_dict``, or the whole file.

    Raises:
        OtherWeightsError: If it holds none.
    """
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else {}
    weights = {name: value for name, value in weights.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not weights:
        raise OtherWeightsError('The checkpoint holds no weights; expected them under the key state_dict')
    return weights


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ', '.join(names[:SHOWN]) + (f' and {more} more' if more > 0 else '')
