"""The selective scan of an image in four directions, in channels-last layout: the op of the model."""
import torch
from torch import Tensor

from .backends import BACKENDS, backend_for
from .cross_scan import NUM_DIRECTIONS, cross_merge, cross_scan, scan_pixels
from .selective_scan import selective_scan
from .selective_scan_ref import scan_dtype


def check_cross_shapes(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor) -> None:
    """Check that the arguments of `cross_selective_scan` fit together.

    Raises:
        ValueError: With the name of the argument, the shape found and the shape expected.
    """
    if x.dim() != 4 or dt_weight.dim() != 3 or A.dim() != 3:
        raise ValueError('x must be (N, H, W, C), dt_weight (4, C, R) and A (4, C, S), got '
                         f'{tuple(x.shape)}, {tuple(dt_weight.shape)} and {tuple(A.shape)}')
    channels, rank, states = x.shape[3], dt_weight.shape[2], A.shape[2]
    expected = {
        'proj': (proj, (*x.shape[:3], NUM_DIRECTIONS, rank + 2 * states)),
        'dt_weight': (dt_weight, (NUM_DIRECTIONS, channels, rank)),
        'dt_bias': (dt_bias, (NUM_DIRECTIONS, channels)),
        'A': (A, (NUM_DIRECTIONS, channels, states)),
        'D': (D, (NUM_DIRECTIONS, channels)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f'{name} must be {shape} to fit x {tuple(x.shape)}, rank {rank} and {states} states, '
                             f'got {tuple(tensor.shape)}')


def _compose(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor, backend: str) -> Tensor:
    """The op put together from cross_scan, selective_scan and cross_merge."""
    dtype = scan_dtype(x)
    height, width = x.shape[1:3]
    rank, states = dt_weight.shape[2], A.shape[2]
    with torch.autocast(x.device.type, enabled=False):
        low_rank, B, C = scan_pixels(proj.to(dtype)).split([rank, states, states], 2)
        delta = dt_weight.to(dtype) @ low_rank
        u = cross_scan(x.to(dtype).permute(0, 3, 1, 2))
        y = selective_scan(
            u.flatten(1, 2), delta.flatten(1, 2), A.flatten(0, 1), B, C, D.flatten(), dt_bias.flatten(),
            backend=backend)
        y = cross_merge(y.unflatten(1, u.shape[1:3]), height, width)
    return y.permute(0, 2, 3, 1).to(x.dtype)


def cross_selective_scan(x: Tensor,
                         proj: Tensor,
                         dt_weight: Tensor,
                         dt_bias: Tensor,
                         A: Tensor,
                         D: Tensor,
                         backend: str = 'auto') -> Tensor:
    """Selective scan of a feature map along rows, columns and both backwards, summed.

    The core of SS2D in VMamba (arXiv 2401.10166), from the projected input to the merged output::

        x, proj --> delta_k = softplus(dt_weight_k @ proj_k[:R] + dt_bias_k)      at every pixel, k = 0..3
                --> y_k = selective scan of x with delta_k, A_k, B_k, C_k, D_k    in the order of direction k
                --> y = y_0 + y_1 + y_2 + y_3

    Args:
        x: Feature map, (N, H, W, C).
        proj: Low-rank step sizes (R), B (S) and C (S), in this order, per pixel and direction,
            (N, H, W, 4, R+2S). All are stored at the pixel that they belong to, whatever the direction.
        dt_weight: Raises the low-rank step sizes to the channels, (4, C, R).
        dt_bias: (4, C).
        A: Decay rates, negative, (4, C, S).
        D: Weight of the direct path, (4, C).
        backend: 'auto', 'triton', 'mamba_ssm', 'c', 'torch' or 'ref', see `resolve_backend`.

    Returns:
        y, (N, H, W, C), in the dtype of x. The scan is computed in float32 under any autocast.

    Raises:
        ValueError: If two shapes do not fit together, or the backend does not run on this device.
        RuntimeError: If the backend is not available on this machine.
    """
    check_cross_shapes(x, proj, dt_weight, dt_bias, A, D)
    backend = backend_for(backend, x)
    fused = BACKENDS[backend].cross_scan
    if fused is not None:
        return fused(x, proj, dt_weight, dt_bias, A, D)
    return _compose(x, proj, dt_weight, dt_bias, A, D, backend)
