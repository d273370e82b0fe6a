"""The C kernels as torch ops, which torch.compile and torch.export see as one node."""
import ctypes
from collections.abc import Callable
from typing import Any, List  # noqa: UP035  torch 2.6 reads the types of an op and does not know list[Tensor]

import torch
from torch import Tensor

from .cpu_kernel import load_library


def _plain(x: Tensor | None) -> Tensor | None:
    """A tensor as the kernels need it: float32, contiguous."""
    return None if x is None else x.detach().to(torch.float32).contiguous()


def _call(name: str, tensors: tuple, sizes: tuple) -> None:
    """Run a kernel; ctypes lets other Python threads run meanwhile."""
    library, reason = load_library()
    if library is None:
        raise RuntimeError(f"scan backend 'c' is not available: {reason}")
    pointers = [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]
    status = getattr(library, name)(*pointers, *map(ctypes.c_int64, sizes), ctypes.c_int(torch.get_num_threads()))
    if status != 0:
        raise MemoryError(f'{name} found no scratch memory for sizes {sizes}')


def _make_op(name: str, function: Callable, fake: Callable) -> Any:
    """A torch op of this package."""
    op = torch.library.custom_op(f'mamba_cd::{name}', function, mutates_args=(), device_types='cpu')
    op.register_fake(fake)
    return op


def _save_inputs(ctx: Any, inputs: tuple, output: Tensor) -> None:
    tensors = [t for t in inputs if not isinstance(t, bool)]
    ctx.save_for_backward(*tensors)
    ctx.options = inputs[len(tensors):]


def _make_differentiable(name: str, function: Callable, fake: Callable, gradients: Callable) -> Any:
    """A torch op with its gradients."""
    op = _make_op(name, function, fake)
    op.register_autograd(gradients, setup_context=_save_inputs)
    return op


def _cross_sizes(x: Tensor, dt_weight: Tensor, A: Tensor) -> tuple:
    return (*x.shape, dt_weight.shape[2], A.shape[2])


def _cross_forward(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor) -> Tensor:
    inputs = [_plain(t) for t in (x, proj, dt_weight, dt_bias, A, D)]
    y = torch.empty_like(inputs[0])
    _call('cross_scan_forward', (*inputs, y), _cross_sizes(x, dt_weight, A))
    return y.to(x.dtype)


def _cross_forward_fake(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _cross_backward(grad: Tensor, x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                    D: Tensor) -> List[Tensor]:  # noqa: UP006
    """Gradients of x, proj, dt_weight (as 4, R, C), dt_bias, A (as 4, S, C) and D (as C), all float32."""
    inputs = [_plain(t) for t in (grad, x, proj, dt_weight, dt_bias, A, D)]
    outputs = _cross_backward_fake(*inputs)
    outputs[1].zero_()
    _call('cross_scan_backward', (*inputs, *outputs), _cross_sizes(x, dt_weight, A))
    return outputs


def _cross_backward_fake(grad: Tensor, x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                         D: Tensor) -> list[Tensor]:
    directions, channels, rank = dt_weight.shape
    shapes = (x.shape, proj.shape, (directions, rank, channels), dt_bias.shape, (directions, A.shape[2], channels),
              (channels, ))
    return [x.new_empty(shape, dtype=torch.float32) for shape in shapes]


def _cross_gradients(ctx: Any, grad: Tensor) -> tuple:
    inputs = ctx.saved_tensors
    x, proj, weight, bias, A, D = _cross_backward_op(grad, *inputs)
    gradients = (x, proj, weight.transpose(1, 2), bias, A.transpose(1, 2), D.expand(inputs[5].shape))
    return tuple(g.to(t.dtype) for g, t in zip(gradients, inputs))


def _scan_sizes(u: Tensor, B: Tensor, delta_softplus: bool) -> tuple:
    return (*u.shape[:2], B.shape[1], u.shape[2], B.shape[2], delta_softplus)


def _scan_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                  delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    inputs = [_plain(t) for t in (u, delta, A, B, C, D, delta_bias)]
    y = torch.empty_like(inputs[0])
    _call('selective_scan_forward', (*inputs, y), _scan_sizes(u, B, delta_softplus))
    return y.to(u.dtype)


def _scan_forward_fake(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                       delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    return u.new_empty(u.shape)


def _scan_backward(grad: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                   delta_bias: Tensor | None, delta_softplus: bool) -> List[Tensor]:  # noqa: UP006
    """Gradients of u, delta, A, B, C, D and delta_bias, all float32, the last two also where they are None."""
    inputs = [_plain(t) for t in (grad, u, delta, A, B, C, D, delta_bias)]
    outputs = _scan_backward_fake(*inputs, delta_softplus)  # type: ignore[call-arg, arg-type]  # eight tensors
    for summed in outputs[2:]:
        summed.zero_()
    _call('selective_scan_backward', (*inputs, *outputs), _scan_sizes(u, B, delta_softplus))
    return outputs


def _scan_backward_fake(grad: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                        delta_bias: Tensor | None, delta_softplus: bool) -> list[Tensor]:
    shapes = (u.shape, u.shape, A.shape, B.shape, B.shape, A.shape[:1], A.shape[:1])
    return [u.new_empty(shape, dtype=torch.float32) for shape in shapes]


def _scan_gradients(ctx: Any, grad: Tensor) -> tuple:
    inputs = ctx.saved_tensors
    gradients = _scan_backward_op(grad, *inputs, *ctx.options)
    return (*(None if t is None else g.to(t.dtype) for g, t in zip(gradients, inputs)), None)


_cross_backward_op = _make_op('cross_selective_scan_backward', _cross_backward, _cross_backward_fake)
_cross_op = _make_differentiable('cross_selective_scan', _cross_forward, _cross_forward_fake, _cross_gradients)
_scan_backward_op = _make_op('selective_scan_backward', _scan_backward, _scan_backward_fake)
_scan_op = _make_differentiable('selective_scan', _scan_forward, _scan_forward_fake, _scan_gradients)


def cpu_cross_selective_scan(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                             D: Tensor) -> Tensor:
    """`cross_selective_scan` by the compiled kernel, for CPU tensors; keeps only its inputs for the backward."""
    return _cross_op(x, proj, dt_weight, dt_bias, A, D)


def cpu_selective_scan(*arguments: Any) -> Tensor:
    """`selective_scan` by the compiled kernel, for CPU tensors; keeps only its inputs for the backward."""
    return _scan_op(*arguments)
