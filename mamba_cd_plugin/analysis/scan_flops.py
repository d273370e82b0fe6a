"""FLOPs of the selective scan, and the trace in which a counter finds it."""
from collections import Counter
from contextlib import AbstractContextManager
from math import prod
from typing import Any, List

import torch
from mmengine.analysis.jit_handles import get_shape
from torch import Tensor

from .replaced_scan import replaced_scan


def scan_flops(elements: int, states: int) -> int:
    """FLOPs of one selective scan: 9 per element and state, 1 per element for the direct path D.

    The count of Mamba's authors (state-spaces/mamba, issue 110), which VMamba's published figures follow: it is that
    of the parallel scan, with the discretisation (exp(delta A), delta B u), the recurrence and the sum over the states.

    Args:
        elements: N * L * C of one direction.
        states: S.
    """
    return elements * (9 * states + 1)


def cross_scan_flops(inputs: List[Any], outputs: List[Any]) -> Counter:
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
    """While this is open, the scan inside every SS2D is a :class:`CountedScan`.

    A trace sees the same operator then whatever backend the machine has; the plain PyTorch scan would fall apart into
    hundreds.
    """
    return replaced_scan(lambda x, proj, dt_weight, dt_bias, A, D, **_: CountedScan.apply(x, proj, dt_weight, A))
