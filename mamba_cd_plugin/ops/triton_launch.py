"""Launches the Triton kernels of the selective scan: how much each program does, and in which order they run."""
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

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


@dataclass(frozen=True)
class Geometry:
    """What the kernels need to know of a scan.

    Attributes:
        paired: whether it is the scan of an image in four directions, else that of sequences.
        rank: rank of the step sizes, 0 where they are given for every channel.
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

    @cached_property
    def length(self) -> int:
        return self.height * self.width

    @cached_property
    def steps(self) -> int:
        return next((steps for most, steps in STEPS_BY_STATES if self.states <= most), FEWEST_STEPS)

    @cached_property
    def chunks(self) -> int:
        return -(-self.length // self.steps)

    @cached_property
    def block(self) -> int:
        return min(MAX_BLOCK, max(32, 1 << (self.channels - 1).bit_length()))

    @cached_property
    def blocks(self) -> int:
        return -(-self.channels // self.block)

    @cached_property
    def group_size(self) -> int:
        launches = 1 if self.paired else self.groups
        return max(1, min(16, self.images * self.chunks * self.blocks * launches // ENOUGH_PROGRAMS))

    @cached_property
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


def run_forward(inputs: Inputs, geometry: Geometry) -> tuple[Tensor, Tensor]:
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


def run_backward(grad_y: Tensor, inputs: Inputs, start: Tensor, geometry: Geometry) -> tuple[Tensor, ...]:
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
    grid = (programs, g.blocks, 1 if g.paired else g.groups)
    for columns in range(g.launches):
        backward_kernel[grid](grad_y, *inputs, start, incoming, rows, grad_x, grad_proj, grad_delta, sums, g.images,
                              g.length, g.height, g.width, g.chunks, g.group_size, columns,
                              int(columns + 1 == g.launches), g.channels, g.rank, **g.constants())
    grad_proj = grad_proj[0] if g.blocks == 1 else grad_proj.sum(0)
    # Of D's gradients, the last line, only that of the first direction is there if paired: it is that of all.
    weight, bias, A, D = sums.sum(0).split([g.rank, 1, g.states, 1], 1)
    return grad_x, grad_proj, grad_delta, weight, bias.squeeze(1), A, D.squeeze(1)
