"""The selective scan in plain torch ops, in two levels of about sqrt(L) steps instead of L."""
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .selective_scan_ref import scan_dtype, step_sizes

# States are processed in chunks so that one temporary stays below this many elements (64 MiB of float32); a model with
# many states then needs hardly more memory than one with a single state.
MAX_CHUNK_ELEMENTS = 1 << 24


def _to_blocks(x: Tensor, steps: int, blocks: int) -> Tensor:
    """(..., L) to (T, ..., J): position j*T + t goes to [t, ..., j]; the padding at the end is 0."""
    padded = F.pad(x, (0, steps * blocks - x.shape[-1]))
    # permute rather than movedim: ONNX knows no negative axes here
    return padded.unflatten(-1, (blocks, steps)).permute(x.dim(), *range(x.dim())).contiguous()


def _from_blocks(x: Tensor, length: int) -> Tensor:
    """The inverse of `_to_blocks`."""
    return x.permute(*range(1, x.dim()), 0).flatten(-2)[..., :length]


def _run_blocks(decay: Tensor, drive: Tensor, state: Tensor | None, reverse: bool) -> list:
    """h[t] = decay[t] * h[t-1] + drive[t] in all blocks at once; gives the list of the T states."""
    order = range(len(decay) - 1, -1, -1) if reverse else range(len(decay))
    states = []
    for t in order:
        state = drive[t] if state is None else torch.addcmul(drive[t], decay[t], state)
        states.append(state)
    return states[::-1] if reverse else states


def linear_scan(decay: Tensor, drive: Tensor, reverse: bool = False) -> Tensor:
    """Linear recurrence h[l] = decay[l] * h[l-1] + drive[l] (h[l+1] if reverse), h = 0 before the start.

    Each of the J blocks first runs its T steps from 0; then J steps hand the states on from block to block; then each
    block runs again from its true start. That is 2T + J steps on tensors of 1/T of the size.

    Args:
        decay: (T, ..., J), position l = j*T + t at [t, ..., j].
        drive: Input of the recurrence, of the same shape as decay.
        reverse: Whether the recurrence runs from the end to the start.

    Returns:
        h, of the shape of drive.
    """
    ends = _run_blocks(decay, drive, None, reverse)[0 if reverse else -1].unbind(-1)
    products = decay.prod(0).unbind(-1)
    blocks = len(ends)
    order = range(blocks - 1, -1, -1) if reverse else range(blocks)
    carry, carries = torch.zeros_like(ends[0]), []
    for j in order:
        carries.append(carry)
        carry = torch.addcmul(ends[j], products[j], carry)
    start = torch.stack(carries[::-1] if reverse else carries, -1)
    return torch.stack(_run_blocks(decay, drive, start, reverse))


def _previous(h: Tensor) -> Tensor:
    """h[l-1] at position l, in block layout."""
    last = F.pad(h[-1:, ..., :-1], (1, 0))
    return torch.cat([last, h[:-1]])


def _next(h: Tensor) -> Tensor:
    """h[l+1] at position l, in block layout."""
    first = F.pad(h[:1, ..., 1:], (0, 1))
    return torch.cat([h[1:], first])


def _state_chunks(elements: int, states: int) -> list:
    """Slices of the states, each chunk below MAX_CHUNK_ELEMENTS elements."""
    size = max(1, min(states, MAX_CHUNK_ELEMENTS // max(1, elements)))
    return [slice(start, start + size) for start in range(0, states, size)]


def _block_layout(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, ...]:
    """u, delta to (T, N, K, C, 1, J); A to (K, C, S, 1); B, C to (T, N, K, 1, S, J)."""
    length, groups = u.shape[-1], B.shape[1]
    steps = max(1, math.isqrt(length))
    blocks = max(1, -(-length // steps))
    u, delta = (_to_blocks(x.unflatten(1, (groups, -1)), steps, blocks).unsqueeze(-2) for x in (u, delta))
    B, C = (_to_blocks(x, steps, blocks).unsqueeze(3) for x in (B, C))
    return u, delta, A.unflatten(0, (groups, -1)).unsqueeze(-1), B, C


def _scan_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """y = sum_s C * h for final step sizes delta; the plain function, which tracing and exporting see."""
    length = u.shape[-1]
    u, delta, A, B, C = _block_layout(u, delta, A, B, C)
    drive = delta * u
    y = None
    for part in _state_chunks(u.numel(), A.shape[2]):
        h = linear_scan(torch.exp(delta * A[:, :, part]), drive * B[..., part, :])
        y_part = (h * C[..., part, :]).sum(-2)
        y = y_part if y is None else y + y_part
    return _from_blocks(y, length).flatten(1, 2)


class _BlockedScan(torch.autograd.Function):
    """`_scan_forward` that keeps only its inputs and computes the states again in the backward."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        ctx.save_for_backward(u, delta, A, B, C)
        return _scan_forward(u, delta, A, B, C)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        length, groups = grad.shape[-1], ctx.saved_tensors[3].shape[1]
        u, delta, A, B, C = _block_layout(*ctx.saved_tensors)
        grad = _to_blocks(grad.unflatten(1, (groups, -1)), u.shape[0], u.shape[-1]).unsqueeze(-2)
        drive = delta * u
        grad_drive, grad_delta = torch.zeros_like(u), torch.zeros_like(u)
        grad_A, grad_B, grad_C = [], [], []
        for part in _state_chunks(u.numel(), A.shape[2]):
            A_part, B_part = A[:, :, part], B[..., part, :]
            decay = torch.exp(delta * A_part)
            h = linear_scan(decay, drive * B_part)
            grad_C.append((grad * h).sum(3))
            # dL/dh[l] = gy[l] + decay[l+1] * dL/dh[l+1]. The scan runs on q = decay * dL/dh, which is also the factor
            # of h[l-1] in the gradient of the exponent.
            gy = grad * C[..., part, :]
            q = linear_scan(decay, decay * gy, reverse=True)
            grad_h = gy + _next(q)
            grad_drive += (grad_h * B_part).sum(-2, keepdim=True)
            grad_B.append((grad_h * drive).sum(3))
            grad_exponent = q * _previous(h)
            grad_delta += (grad_exponent * A_part).sum(-2, keepdim=True)
            grad_A.append((grad_exponent * delta).sum((0, 1, 5)))
        grad_u = grad_drive * delta
        grad_delta += grad_drive * u
        grad_u, grad_delta = (_from_blocks(g.squeeze(-2), length).flatten(1, 2) for g in (grad_u, grad_delta))
        whole_B, whole_C = (_from_blocks(torch.cat(g, -2), length) for g in (grad_B, grad_C))
        return grad_u, grad_delta, torch.cat(grad_A, -1).flatten(0, 1), whole_B, whole_C


def blocked_selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                           delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """`selective_scan` in about 3 sqrt(L) steps of plain torch ops, on any device.

    Training keeps the inputs only. While a model is exported to ONNX the autograd function is left out, so that only
    standard ops are seen.
    """
    dtype = scan_dtype(u)
    with torch.autocast(u.device.type, enabled=False):
        x = u.to(dtype)
        steps = step_sizes(delta.to(dtype), delta_bias, delta_softplus)
        scan = _scan_forward if torch.onnx.is_in_onnx_export() else _BlockedScan.apply
        y = scan(x, steps, A.to(dtype), B.to(dtype), C.to(dtype))
        if D is not None:
            y = y + D.to(dtype)[:, None] * x
    return y.to(u.dtype)
