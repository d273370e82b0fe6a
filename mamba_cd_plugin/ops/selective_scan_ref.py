"""The selective scan as a plain loop: the specification that every backend is tested against."""

import torch
import torch.nn.functional as F
from torch import Tensor


def check_scan_shapes(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                      delta_bias: Tensor | None) -> None:
    """Check that the arguments of a selective scan fit together.

    Raises:
        ValueError: With the name of the argument, the shape found and the shape expected.
    """
    if u.dim() != 3:
        raise ValueError(f'u must be (N, K*C, L), got {tuple(u.shape)}')
    if A.dim() != 2 or B.dim() != 4:
        raise ValueError(f'A must be (K*C, S) and B (N, K, S, L), got A {tuple(A.shape)} and B {tuple(B.shape)}')
    batch, dim, length = u.shape
    groups, states = B.shape[1], A.shape[1]
    if groups == 0 or dim % groups:
        raise ValueError(f'the {dim} channels of u do not split into the {groups} groups of B {tuple(B.shape)}')
    expected = {
        'delta': (delta, (batch, dim, length)),
        'A': (A, (dim, states)),
        'B': (B, (batch, groups, states, length)),
        'C': (C, (batch, groups, states, length)),
        'D': (D, (dim, )),
        'delta_bias': (delta_bias, (dim, )),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f'{name} must be {shape} to fit u {tuple(u.shape)}, got {tuple(tensor.shape)}')


def scan_dtype(u: Tensor) -> torch.dtype:
    """Dtype to compute in: float32, which the recurrence needs under any autocast, but float64 stays float64."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32


def step_sizes(delta: Tensor, delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """Step sizes of the scan, softplus(delta + bias), (N, K*C, L) in delta's own dtype."""
    if delta_bias is not None:
        delta = delta + delta_bias.to(delta.dtype)[:, None]
    return F.softplus(delta) if delta_softplus else delta


def selective_scan_ref(u: Tensor,
                       delta: Tensor,
                       A: Tensor,
                       B: Tensor,
                       C: Tensor,
                       D: Tensor | None = None,
                       delta_bias: Tensor | None = None,
                       delta_softplus: bool = True) -> Tensor:
    """Selective scan, one step of the recurrence per position.

    With d = softplus(delta + delta_bias), for every channel::

        h[l] = exp(d[l] * A) * h[l-1] + d[l] * B[l] * u[l]
        y[l] = sum_s C[l] * h[l]  +  D * u[l]

    From Mamba (arXiv 2312.00752, algorithm 2), with B and C shared by groups of channels as in VMamba
    (arXiv 2401.10166): channels k*C to (k+1)*C - 1 use group k.

    Args:
        u: Input, (N, K*C, L).
        delta: Step sizes before bias and softplus, (N, K*C, L).
        A: Decay rates, negative, (K*C, S).
        B: Input weights, (N, K, S, L).
        C: Output weights, (N, K, S, L).
        D: Weight of the direct path, (K*C,).
        delta_bias: Added to delta, (K*C,).
        delta_softplus: Whether softplus is applied to the step sizes.

    Returns:
        y, (N, K*C, L), in the dtype of u. Inside, everything is float32 (float64 for a float64 u).

    Raises:
        ValueError: If two shapes do not fit together.
    """
    check_scan_shapes(u, delta, A, B, C, D, delta_bias)
    dtype = scan_dtype(u)
    batch, dim, length = u.shape
    with torch.autocast(u.device.type, enabled=False):
        x = u.to(dtype)
        steps = step_sizes(delta.to(dtype), delta_bias, delta_softplus)
        A, B, C = A.to(dtype), B.to(dtype), C.to(dtype)
        repeats = dim // B.shape[1]
        B, C = B.repeat_interleave(repeats, 1), C.repeat_interleave(repeats, 1)  # (N, K*C, S, L)
        state = x.new_zeros(batch, dim, A.shape[1])
        outputs = []
        for pos in range(length):
            step = steps[:, :, pos, None]
            state = torch.exp(step * A) * state + step * B[..., pos] * x[:, :, pos, None]
            outputs.append((state * C[..., pos]).sum(-1))
        y = torch.stack(outputs, -1) if outputs else torch.zeros_like(x)
        if D is not None:
            y = y + D.to(dtype)[:, None] * x
    return y.to(u.dtype)
