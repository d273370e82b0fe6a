"""The Triton kernels as torch ops, which torch.compile sees as one node, and without the cost of an op elsewhere."""
import os
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .triton_geometry import Geometry
from .triton_launch import Inputs, Plan, plan_of, run_backward, run_forward

OLDEST = (3, 3)  # Triton: 3.2 does not compile an index into a tuple by a constant
INTERPRET = 'TRITON_INTERPRET'  # Triton's own switch: its interpreter runs the kernels on CPU tensors


@cache
def probe_triton() -> tuple[bool, str]:
    """Whether the kernels can run on this machine, and if not, why."""
    try:
        import triton
    except (ImportError, OSError) as error:
        return False, (f'triton does not import ({error}); it comes with the CUDA builds of torch on Linux; on Windows '
                       'run `pip install triton-windows`')
    if tuple(map(int, triton.__version__.split('.')[:2])) < OLDEST:
        return False, (f'triton {triton.__version__} cannot compile the kernels, {OLDEST[0]}.{OLDEST[1]} can; it comes '
                       'with torch 2.7')
    if interpreted():
        return True, ''
    if not torch.cuda.is_available():
        return False, f'torch sees no CUDA device; {INTERPRET}=1 runs triton {triton.__version__} on the CPU, slowly'
    capability = torch.cuda.get_device_capability()
    if torch.version.hip is None and capability < (7, 0):
        return False, f'triton needs a GPU of compute capability 7.0 or newer, this one has {capability}'
    return True, ''


def interpreted() -> bool:
    """Whether Triton's interpreter is asked for, which runs the kernels in Python on the CPU."""
    return os.environ.get(INTERPRET, '0').lower() in ('1', 'true', 'on', 'yes')


def _ready(x: Tensor) -> Tensor:
    """x as the kernels read it: contiguous, and from an address at which 16 bytes can be loaded at once."""
    x = x.contiguous()
    return x if x.data_ptr() % 16 == 0 else x.clone()


def _cross_problem(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                   D: Tensor) -> tuple[Inputs, Plan]:
    images, height, width, channels = x.shape
    groups, _, rank = dt_weight.shape
    x, *others = map(_ready, (x, proj, dt_weight, dt_bias, A, D))
    inputs = Inputs(x, others[0], x, *others[1:])
    return inputs, plan_of(inputs, images, height, width, channels, groups, rank, A.shape[2], True, True)


def _cross_forward(inputs: Inputs, plan: Plan) -> tuple[Tensor, Tensor]:
    with torch.cuda.device_of(inputs.x):
        return run_forward(inputs, plan)


def _cross_backward(grad: Tensor, inputs: Inputs, start: Tensor, plan: Plan) -> tuple[Tensor, ...]:
    """Gradients of x, proj, dt_weight, dt_bias, A and D."""
    with torch.cuda.device_of(inputs.x):
        x, proj, _, *others = run_backward(_ready(grad.to(inputs.x.dtype)), inputs, start, plan)
    return x, proj, *others


class _CrossScan(torch.autograd.Function):
    """The op without torch.library's bookkeeping, which takes longer than the kernels on a small map."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        inputs, ctx.plan = _cross_problem(*tensors)
        y, start = _cross_forward(inputs, ctx.plan)
        ctx.save_for_backward(*inputs, start)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        *inputs, start = ctx.saved_tensors
        return _cross_backward(grad, Inputs(*inputs), start, ctx.plan)


@torch.library.custom_op('mamba_cd::triton_cross_scan', mutates_args=())
def _cross_op(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
              D: Tensor) -> tuple[Tensor, Tensor]:
    if x.numel() == 0:
        return _cross_fake(x, proj, dt_weight, dt_bias, A, D)
    return _cross_forward(*_cross_problem(x, proj, dt_weight, dt_bias, A, D))


@_cross_op.register_fake
def _cross_fake(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                D: Tensor) -> tuple[Tensor, Tensor]:
    images, height, width, channels = x.shape
    g = Geometry(images, height, width, channels, dt_weight.shape[0], dt_weight.shape[2], A.shape[2], True, True)
    states = x.new_empty((g.images, g.groups, g.chunks, g.states, g.channels), dtype=torch.float32)
    return x.new_empty(x.shape), states


@torch.library.custom_op('mamba_cd::triton_cross_scan_backward', mutates_args=())
def _cross_backward_op(grad: Tensor, x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor,
                       start: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    if x.numel() == 0:
        return tuple(t.zero_() for t in _cross_backward_fake(grad, x, proj, dt_weight, dt_bias, A, D, start))
    inputs, plan = _cross_problem(x, proj, dt_weight, dt_bias, A, D)
    gradients: Any = _cross_backward(grad, inputs, start, plan)
    return gradients


@_cross_backward_op.register_fake
def _cross_backward_fake(grad: Tensor, x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                         D: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    gradients: Any = tuple(t.new_empty(t.shape) for t in (x, proj, dt_weight, dt_bias, A, D))
    return gradients


def _save_cross(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, output[1])


def _cross_gradients(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple:
    *inputs, start = ctx.saved_tensors
    if grad is None:
        return (None, ) * len(inputs)
    return _cross_backward_op(grad, *inputs, start)


_cross_op.register_autograd(_cross_gradients, setup_context=_save_cross)


def triton_cross_selective_scan(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                                D: Tensor) -> Tensor:
    """`cross_selective_scan` by Triton: the four directions read x in place; keeps the inputs and a few states."""
    if torch.compiler.is_compiling() or x.numel() == 0:
        return _cross_op(x, proj, dt_weight, dt_bias, A, D)[0]
    return _CrossScan.apply(x, proj, dt_weight, dt_bias, A, D)


def _sequence_problem(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
                      delta_bias: Tensor | None, delta_softplus: bool) -> tuple[Inputs, Plan]:
    """The channels are brought to the end, where the kernels want them."""
    (images, _, length), (groups, states) = u.shape, B.shape[1:3]

    def channels_last(t: Tensor) -> Tensor:
        return t.detach().unflatten(1, (groups, -1)).permute(0, 3, 1, 2).contiguous()

    def per_channel(t: Tensor | None) -> Tensor:
        return A.new_zeros((groups, A.shape[0] // groups)) if t is None else t.unflatten(0, (groups, -1)).contiguous()

    proj = torch.cat([B.detach(), C.detach()], 2).permute(0, 3, 1, 2).contiguous()
    bias, rates, direct = per_channel(delta_bias), per_channel(A), per_channel(D)
    inputs = Inputs(*map(_ready, (channels_last(u), proj, channels_last(delta), rates, bias, rates, direct)))
    return inputs, plan_of(inputs, images, 1, length, u.shape[1] // groups, groups, 0, states, delta_softplus, False)


@torch.library.custom_op('mamba_cd::triton_scan', mutates_args=())
def _scan_op(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
             delta_bias: Tensor | None, delta_softplus: bool) -> tuple[Tensor, Tensor]:
    if u.numel() == 0:
        return _scan_fake(u, delta, A, B, C, D, delta_bias, delta_softplus)
    inputs, plan = _sequence_problem(u, delta, A, B, C, D, delta_bias, delta_softplus)
    with torch.cuda.device_of(u):
        y, start = run_forward(inputs, plan)
    return y.permute(0, 2, 3, 1).flatten(1, 2).contiguous(), start


@_scan_op.register_fake
def _scan_fake(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
               delta_bias: Tensor | None, delta_softplus: bool) -> tuple[Tensor, Tensor]:
    groups = B.shape[1]
    g = Geometry(u.shape[0], 1, u.shape[2], u.shape[1] // groups, groups, 0, B.shape[2], delta_softplus, False)
    states = u.new_empty((g.images, g.groups, g.chunks, g.states, g.channels), dtype=torch.float32)
    return u.new_empty(u.shape), states


@torch.library.custom_op('mamba_cd::triton_scan_backward', mutates_args=())
def _scan_backward_op(
        grad: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
        delta_bias: Tensor | None, start: Tensor,
        delta_softplus: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, delta, A, B, C, D and delta_bias, in their dtypes; where one is None, in that of A."""
    if u.numel() == 0:
        outputs = _scan_backward_fake(grad, u, delta, A, B, C, D, delta_bias, start, delta_softplus)
        return tuple(t.zero_() for t in outputs)
    inputs, plan = _sequence_problem(u, delta, A, B, C, D, delta_bias, delta_softplus)
    grad = _ready(grad.to(u.dtype).unflatten(1, (B.shape[1], -1)).permute(0, 3, 1, 2))
    with torch.cuda.device_of(u):
        grad_x, proj, grad_delta, _, bias, rates, direct = run_backward(grad, inputs, start, plan)
    grad_u, grad_delta = (t.permute(0, 2, 3, 1).flatten(1, 2).contiguous() for t in (grad_x, grad_delta))
    grad_B, grad_C = (half.to(t.dtype, copy=True, memory_format=torch.contiguous_format)
                      for half, t in zip(proj.permute(0, 2, 3, 1).split(B.shape[2], 2), (B, C)))
    return grad_u, grad_delta, rates.flatten(0, 1), grad_B, grad_C, direct.flatten(), bias.flatten()


@_scan_backward_op.register_fake
def _scan_backward_fake(
        grad: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None,
        delta_bias: Tensor | None, start: Tensor,
        delta_softplus: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    gradients: Any = tuple(A.new_empty(A.shape[:1]) if t is None else t.new_empty(t.shape)
                           for t in (u, delta, A, B, C, D, delta_bias))
    return gradients


def _save_scan(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs[:-1], output[1])
    ctx.softplus = inputs[-1]


def _scan_gradients(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple:
    inputs = ctx.saved_tensors[:-1]
    if grad is None:
        return (None, ) * 8
    gradients = _scan_backward_op(grad, *ctx.saved_tensors, ctx.softplus)
    return (*(None if t is None else g for g, t in zip(gradients, inputs)), None)


_scan_op.register_autograd(_scan_gradients, setup_context=_save_scan)


def triton_selective_scan(*arguments: Any) -> Tensor:
    """`selective_scan` by Triton."""
    return _scan_op(*arguments)[0]
