"""The selective scan with a choice of backends."""

from torch import Tensor

from .backends import BACKENDS, backend_for
from .selective_scan_ref import check_scan_shapes


def selective_scan(u: Tensor,
                   delta: Tensor,
                   A: Tensor,
                   B: Tensor,
                   C: Tensor,
                   D: Tensor | None = None,
                   delta_bias: Tensor | None = None,
                   delta_softplus: bool = True,
                   backend: str = 'auto') -> Tensor:
    """Selective scan of grouped sequences, differentiable in every tensor.

    Args:
        u: Input, (N, K*C, L).
        delta: Step sizes before bias and softplus, (N, K*C, L).
        A: Decay rates, negative, (K*C, S).
        B: Input weights, (N, K, S, L).
        C: Output weights, (N, K, S, L).
        D: Weight of the direct path, (K*C,).
        delta_bias: Added to delta, (K*C,).
        delta_softplus: Whether softplus is applied to the step sizes.
        backend: 'auto', 'triton', 'mamba_ssm', 'c', 'torch' or 'ref', see `resolve_backend`.

    Returns:
        y, (N, K*C, L), in the dtype of u. The recurrence is computed in float32 under any autocast.

    Raises:
        ValueError: If two shapes do not fit together, or the backend does not run on this device.
        RuntimeError: If the backend is not available on this machine.
    """
    check_scan_shapes(u, delta, A, B, C, D, delta_bias)
    scan = BACKENDS[backend_for(backend, u)].scan
    return scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
