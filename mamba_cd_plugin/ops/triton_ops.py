"""The Triton kernels as torch ops, which torch.compile sees as one node."""
import os
from functools import cache
from typing import Any, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from .selective_scan_ref import check_scan_shapes

INTERPRET = 'TRITON_INTERPRET'  # Triton's own switch: its interpreter runs the kernels on CPU tensors
# Positions of a chunk, which a program unrolls, by the number of states: the code grows with the product of both.
STEPS_BY_STATES = ((4, 8), )
FEWEST_STEPS = 4
MAX_BLOCK = 64  # channels of a program of one warp, two for each thread; with 16 positions the registers spill
AHEAD = 16  # chunks whose loads the carry starts together
CARRY_BLOCK = 32  # channels of one of its programs
# The backward lets a program run several chunks once this many programs remain: 32 warps for each of 128 processors.
ENOUGH_PROGRAMS = 4096
# The same options for every kernel. Contraction to fused multiply-adds is Triton's default until 3.9 and said here
# because a later one turns it off.
LAUNCH = dict(num_warps=1, enable_fp_fusion=True)


class Geometry(NamedTuple):
    """What the kernels need to know of a scan.

    Attributes:
        paired: whether it is the scan of an image in four directions, else that of sequences.
        rank: of the step sizes, 0 where they are given for every channel.
    """
    images: int
    height: int
    width: int
    channels: int
    groups: int
    rank: int
    states: int
    softplus: bool
    paired: bool

    @property
    def length(self) -> int:
        return self.height * self.width

    @property
    def steps(self) -> int:
        return next((steps for most, steps in STEPS_BY_STATES if self.states <= most), FEWEST_STEPS)

    @property
    def chunks(self) -> int:
        return -(-self.length // self.steps)

    @property
    def block(self) -> int:
        return min(MAX_BLOCK, max(32, 1 << (self.channels - 1).bit_length()))

    @property
    def blocks(self) -> int:
        return -(-self.channels // self.block)

    @property
    def group_size(self) -> int:
        launches = 1 if self.paired else self.groups
        return max(1, min(16, self.images * self.chunks * self.blocks * launches // ENOUGH_PROGRAMS))

    @property
    def launches(self) -> int:
        """Launches of one kernel: rows, then columns."""
        return 2 if self.paired else 1

    def constants(self) -> dict:
        """Arguments that all kernels but the carry are compiled for."""
        return dict(GROUPS=self.groups, LOW_RANK=self.rank > 0, STATES=self.states, SOFTPLUS=self.softplus,
                    PAIRED=self.paired, T=self.steps, BLOCK=self.block, **LAUNCH)


class Inputs(NamedTuple):
    """Contiguous tensors as the kernels read them; x, proj and delta in any dtype, the others float32.

    Attributes:
        x: (N, L, C) if paired, else (N, L, K, C).
        proj: (N, L, K, R + 2S).
        delta: (N, L, K, C), or x where the steps come from proj.
        weight: (K, R, C).
        bias: (K, C).
        A: (K, S, C).
        D: (C,), the sum over the directions, if paired, else (K, C).
    """
    x: Tensor
    proj: Tensor
    delta: Tensor
    weight: Tensor
    bias: Tensor
    A: Tensor
    D: Tensor


@cache
def probe_triton() -> Tuple[bool, str]:
    """Whether the kernels can run on this machine, and if not, why."""
    try:
        import triton
    except (ImportError, OSError) as error:
        return False, (f'triton does not import ({error}); it comes with the CUDA builds of torch on Linux; on Windows '
                       'run `pip install triton-windows`')
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


def _entering_states(values: Tensor, inputs: Inputs, geometry: Geometry, backward: bool) -> Tensor:
    """The state (or the adjoint, for values = the output's gradient) that enters each chunk, (N, K, chunks, S, C)."""
    from .triton_forward import carry_kernel, local_kernel
    g = geometry
    end = values.new_empty((g.images, g.groups, g.chunks, g.states, g.channels), dtype=torch.float32)
    total = values.new_empty((g.images, g.groups, g.chunks, g.channels), dtype=torch.float32)
    start = torch.empty_like(end)
    local_kernel[(g.images * g.chunks, g.blocks, 2 if g.paired else g.groups)](
        values, inputs.proj, inputs.delta, inputs.weight, inputs.bias, inputs.A, end, total, g.length, g.height,
        g.width, g.chunks, g.channels, g.rank, BACKWARD=backward, **g.constants())
    carry_kernel[(g.images * g.groups, g.states, -(-g.channels // CARRY_BLOCK))](
        end, total, inputs.A, start, g.chunks, int(backward), g.channels, GROUPS=g.groups, STATES=g.states,
        PAIRED=g.paired, AHEAD=AHEAD, BLOCK=CARRY_BLOCK, **LAUNCH)
    return start


def _run_forward(inputs: Inputs, geometry: Geometry) -> Tuple[Tensor, Tensor]:
    """The output, like x, and the states that enter the chunks."""
    from .triton_forward import forward_kernel
    g, x = geometry, inputs.x
    start = _entering_states(x, inputs, g, False)
    grid = (g.images * g.chunks, g.blocks, 1 if g.paired else g.groups)
    rows = torch.empty_like(x, dtype=torch.float32) if g.paired else inputs.D  # else it is never touched
    y = torch.empty_like(x)
    for columns in range(g.launches):
        forward_kernel[grid](*inputs, start, rows, y, g.length, g.height, g.width, g.chunks, columns,
                             int(columns + 1 == g.launches), g.channels, g.rank, **g.constants())
    return y, start


def _run_backward(grad_y: Tensor, inputs: Inputs, start: Tensor, geometry: Geometry) -> Tuple[Tensor, ...]:
    """Gradients of x (like x), proj, delta, weight (K, R, C), bias, A (K, S, C) and D, the latter float32."""
    from .triton_backward import backward_kernel
    g, x = geometry, inputs.x
    incoming = _entering_states(grad_y, inputs, g, True)
    programs = g.images * -(-g.chunks // g.group_size)
    rows = torch.empty_like(x, dtype=torch.float32) if g.paired else inputs.D  # else it is never touched
    grad_x = torch.empty_like(x)
    grad_proj = x.new_empty((g.blocks, *inputs.proj.shape), dtype=torch.float32)
    grad_delta = x if g.rank else torch.empty_like(inputs.delta)
    sums = x.new_empty((programs, g.groups, g.rank + g.states + 2, g.channels), dtype=torch.float32)
    if g.paired:
        sums[:, 1:, -1].zero_()  # the gradient of D is taken once, with the first direction
    grid = (programs, g.blocks, 1 if g.paired else g.groups)
    for columns in range(g.launches):
        backward_kernel[grid](grad_y, *inputs, start, incoming, rows, grad_x, grad_proj, grad_delta, sums, g.images,
                              g.length, g.height, g.width, g.chunks, g.group_size, columns,
                              int(columns + 1 == g.launches), g.channels, g.rank, **g.constants())
    grad_proj = grad_proj[0] if g.blocks == 1 else grad_proj.sum(0)
    sums = sums.sum(0)
    weight, bias, A, D = sums.split([g.rank, 1, g.states, 1], 1)
    return grad_x, grad_proj, grad_delta, weight, bias.squeeze(1), A, D.squeeze(1)


def _float(x: Tensor) -> Tensor:
    return x.detach().to(torch.float32).contiguous()


def _cross_problem(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                   D: Tensor) -> Tuple[Inputs, Geometry]:
    images, height, width, channels = x.shape
    groups, _, rank = dt_weight.shape
    geometry = Geometry(images, height, width, channels, groups, rank, A.shape[2], True, True)
    x = x.detach().contiguous()
    inputs = Inputs(x, proj.detach().contiguous(), x, _float(dt_weight.transpose(1, 2)), _float(dt_bias),
                    _float(A.transpose(1, 2)), _float(D).sum(0))
    return inputs, geometry


@torch.library.custom_op('mamba_cd::triton_cross_scan', mutates_args=())
def _cross_op(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
              D: Tensor) -> Tuple[Tensor, Tensor]:
    inputs, geometry = _cross_problem(x, proj, dt_weight, dt_bias, A, D)
    if x.numel() == 0:
        return _cross_fake(x, proj, dt_weight, dt_bias, A, D)
    with torch.cuda.device_of(x):
        return _run_forward(inputs, geometry)


@_cross_op.register_fake
def _cross_fake(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                D: Tensor) -> Tuple[Tensor, Tensor]:
    images, height, width, channels = x.shape
    g = Geometry(images, height, width, channels, dt_weight.shape[0], dt_weight.shape[2], A.shape[2], True, True)
    states = x.new_empty((g.images, g.groups, g.chunks, g.states, g.channels), dtype=torch.float32)
    return x.new_empty(x.shape), states


@torch.library.custom_op('mamba_cd::triton_cross_scan_backward', mutates_args=())
def _cross_backward_op(grad: Tensor, x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor,
                       start: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, in its dtype, and of the others, as (4, R, C), (4, C), (4, S, C) and (C), float32."""
    if x.numel() == 0:
        return tuple(t.zero_() for t in _cross_backward_fake(grad, x, proj, dt_weight, dt_bias, A, D, start))
    inputs, geometry = _cross_problem(x, proj, dt_weight, dt_bias, A, D)
    with torch.cuda.device_of(x):
        grad_x, grad_proj, _, weight, bias, rates, direct = _run_backward(grad.contiguous(), inputs, start, geometry)
    return grad_x, grad_proj, weight.clone(), bias.clone(), rates.clone(), direct[0].clone()


@_cross_backward_op.register_fake
def _cross_backward_fake(grad: Tensor, x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                         D: Tensor, start: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    groups, channels, rank = dt_weight.shape
    shapes = proj.shape, (groups, rank, channels), (groups, channels), (groups, A.shape[2], channels), (channels, )
    grads: Any = [x.new_empty(shape, dtype=torch.float32) for shape in shapes]
    return (x.new_empty(x.shape), *grads)


def _save_cross(ctx: Any, inputs: tuple, output: Tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, output[1])


def _cross_gradients(ctx: Any, grad: Optional[Tensor], _: Optional[Tensor]) -> tuple:
    *inputs, start = ctx.saved_tensors
    if grad is None:
        return (None, ) * len(inputs)
    x, proj, weight, bias, A, D = _cross_backward_op(grad, *inputs, start)
    gradients = x, proj, weight.transpose(1, 2), bias, A.transpose(1, 2), D.expand(inputs[5].shape)
    return tuple(g.to(t.dtype) for g, t in zip(gradients, inputs))


_cross_op.register_autograd(_cross_gradients, setup_context=_save_cross)


def triton_cross_selective_scan(x: Tensor, proj: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor,
                                D: Tensor) -> Tensor:
    """`cross_selective_scan` by Triton: the four directions read x in place; keeps the inputs and a few states."""
    return _cross_op(x, proj, dt_weight, dt_bias, A, D)[0]


def _sequence_problem(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional[Tensor],
                      delta_bias: Optional[Tensor], delta_softplus: bool) -> Tuple[Inputs, Geometry]:
    """The channels are brought to the end, where the kernels want them."""
    (images, _, length), (groups, states) = u.shape, B.shape[1:3]

    def channels_last(t: Tensor) -> Tensor:
        return t.detach().unflatten(1, (groups, -1)).permute(0, 3, 1, 2).contiguous()

    def per_channel(t: Optional[Tensor]) -> Tensor:
        return A.new_zeros(A.shape[0], dtype=torch.float32) if t is None else _float(t)

    geometry = Geometry(images, 1, length, u.shape[1] // groups, groups, 0, states, delta_softplus, False)
    proj = torch.cat([B.detach(), C.detach()], 2).permute(0, 3, 1, 2).contiguous()
    rates = _float(A.unflatten(0, (groups, -1)).transpose(1, 2))
    bias, direct = per_channel(delta_bias), per_channel(D)
    inputs = Inputs(channels_last(u), proj, channels_last(delta), rates, bias, rates, direct)
    return inputs, geometry


@torch.library.custom_op('mamba_cd::triton_scan', mutates_args=())
def _scan_op(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional[Tensor],
             delta_bias: Optional[Tensor], delta_softplus: bool) -> Tuple[Tensor, Tensor]:
    if u.numel() == 0:
        return _scan_fake(u, delta, A, B, C, D, delta_bias, delta_softplus)
    inputs, geometry = _sequence_problem(u, delta, A, B, C, D, delta_bias, delta_softplus)
    with torch.cuda.device_of(u):
        y, start = _run_forward(inputs, geometry)
    return y.permute(0, 2, 3, 1).flatten(1, 2).contiguous(), start


@_scan_op.register_fake
def _scan_fake(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional[Tensor],
               delta_bias: Optional[Tensor], delta_softplus: bool) -> Tuple[Tensor, Tensor]:
    groups = B.shape[1]
    g = Geometry(u.shape[0], 1, u.shape[2], u.shape[1] // groups, groups, 0, B.shape[2], delta_softplus, False)
    states = u.new_empty((g.images, g.groups, g.chunks, g.states, g.channels), dtype=torch.float32)
    return u.new_empty(u.shape), states


@torch.library.custom_op('mamba_cd::triton_scan_backward', mutates_args=())
def _scan_backward_op(
        grad: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional[Tensor],
        delta_bias: Optional[Tensor], start: Tensor,
        delta_softplus: bool) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u and delta, in their dtypes, and of A, B, C, D and delta_bias, float32."""
    if u.numel() == 0:
        outputs = _scan_backward_fake(grad, u, delta, A, B, C, D, delta_bias, start, delta_softplus)
        return tuple(t.zero_() for t in outputs)
    inputs, geometry = _sequence_problem(u, delta, A, B, C, D, delta_bias, delta_softplus)
    grad = grad.unflatten(1, (geometry.groups, -1)).permute(0, 3, 1, 2).contiguous()
    with torch.cuda.device_of(u):
        grad_x, proj, grad_delta, _, bias, rates, direct = _run_backward(grad, inputs, start, geometry)
    grad_u, grad_delta = (t.permute(0, 2, 3, 1).flatten(1, 2).contiguous() for t in (grad_x, grad_delta))
    grad_B, grad_C = (t.clone() for t in proj.permute(0, 2, 3, 1).split(geometry.states, 2))
    return (grad_u, grad_delta, rates.transpose(1, 2).flatten(0, 1).clone(), grad_B, grad_C,
            direct.flatten().clone(), bias.flatten().clone())


@_scan_backward_op.register_fake
def _scan_backward_fake(
        grad: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional[Tensor],
        delta_bias: Optional[Tensor], start: Tensor,
        delta_softplus: bool) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    shapes = A.shape, B.shape, B.shape, A.shape[:1], A.shape[:1]
    grads: Any = [u.new_empty(shape, dtype=torch.float32) for shape in shapes]
    return (u.new_empty(u.shape), delta.new_empty(delta.shape), *grads)


def _save_scan(ctx: Any, inputs: tuple, output: Tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs[:-1], output[1])
    ctx.softplus = inputs[-1]


def _scan_gradients(ctx: Any, grad: Optional[Tensor], _: Optional[Tensor]) -> tuple:
    inputs = ctx.saved_tensors[:-1]
    if grad is None:
        return (None, ) * 8
    gradients = _scan_backward_op(grad, *ctx.saved_tensors, ctx.softplus)
    return (*(None if t is None else g.to(t.dtype) for g, t in zip(gradients, inputs)), None)


_scan_op.register_autograd(_scan_gradients, setup_context=_save_scan)


def triton_selective_scan(u: Tensor,
                          delta: Tensor,
                          A: Tensor,
                          B: Tensor,
                          C: Tensor,
                          D: Optional[Tensor] = None,
                          delta_bias: Optional[Tensor] = None,
                          delta_softplus: bool = True) -> Tensor:
    """`selective_scan` by Triton; arguments and result are those of `selective_scan_ref`."""
    check_scan_shapes(u, delta, A, B, C, D, delta_bias)
    return _scan_op(u, delta, A, B, C, D, delta_bias, delta_softplus)[0]
