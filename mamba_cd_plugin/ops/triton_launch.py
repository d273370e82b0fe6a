"""Launches the Triton kernels of the selective scan: what they get, and in which order they run."""
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .triton_geometry import Geometry, check_places, precisions, settings


class Inputs(NamedTuple):
    """Contiguous tensors as the kernels read them, in any dtype.

    Attributes:
        x: (N, L, C) if paired, else (N, L, K, C).
        proj: (N, L, K, R + 2S).
        delta: (N, L, K, C), or x where the steps come from proj.
        weight: (K, C, R); with R = 0 it is not read.
        bias: (K, C).
        A: (K, C, S).
        D: (K, C).
    """
    x: Tensor
    proj: Tensor
    delta: Tensor
    weight: Tensor
    bias: Tensor
    A: Tensor
    D: Tensor


def _takes_tf32(device: torch.device) -> bool:
    return (device.type == 'cuda' and torch.version.hip is None
            and torch.cuda.get_device_capability(device) >= (8, 0))


class Plan:
    """How the kernels run for one kind of call: the geometry, and what was compiled for it.

    To launch a kernel Triton looks at every argument, to find what it has compiled for arguments of their kind. In a
    plan they are always of the same kind, since dtypes and device belong to it and all addresses are aligned; only the
    first launch goes that way, the others go straight to the compiled kernel, for a third of the time in Python.
    """

    def __init__(self, geometry: Geometry, dtype: torch.dtype, device: torch.device) -> None:
        from . import triton_backward, triton_forward
        check_places(geometry)
        self.geometry = geometry
        self.forward: Any = triton_forward
        self.backward: Any = triton_backward
        self.precision, self.rank_precision = precisions(_takes_tf32(device), dtype != torch.float32)
        self._compiled: dict[str, tuple[Any, list]] = {}

    def launch(self, name: str, kernel: Any, grid: tuple[int, int, int], arguments: tuple,
               constants: Callable[[], dict]) -> None:
        """Launch a kernel.

        Args:
            name: of the kernel and these constants.
            kernel: Triton's function.
            grid: number of programs along three axes.
            arguments: those that are no constants.
            constants: makes the others, and the options of the compilation.
        """
        if name in self._compiled:
            compiled, values = self._compiled[name]
            compiled[grid](*arguments, *values)
            return
        options = constants()
        compiled = kernel[grid](*arguments, **options)
        if compiled is not None:  # it is in the interpreter
            self._compiled[name] = compiled, [options[p.name] for p in kernel.params if p.is_constexpr]


@lru_cache(maxsize=1024)  # images of ever new sizes: a plan is small, but not nothing
def _plan(geometry: tuple, dtypes: tuple[torch.dtype, ...], device: torch.device, tuned: tuple) -> Plan:
    return Plan(Geometry(*geometry), dtypes[1], device)


def plan_of(inputs: Inputs, *geometry: Any) -> Plan:
    """The plan for aligned inputs and what `Geometry` takes; it is kept for the next call of this kind."""
    return _plan(geometry, tuple([t.dtype for t in inputs]), inputs.x.device, settings())


def _step_sizes(inputs: Inputs, plan: Plan) -> Tensor:
    """The step sizes, (N, L, K, C) in float32.

    The backward finds them again. Kept, they would be 16 bytes for each element of every map that is scanned, 9 % of
    the memory of a training step of V8 in bfloat16, for 0.6 % of its time on an H200.
    """
    g = plan.geometry
    steps = inputs.x.new_empty((g.images, g.length, g.groups, g.channels), dtype=torch.float32)
    plan.launch('steps', plan.forward.steps_kernel,
                (g.step_programs, g.step_blocks, g.groups),
                (inputs.proj, inputs.delta, inputs.weight, inputs.bias, steps, g.positions,
                 g.channels // g.steps_unit, g.rank, g.step_tiles),
                lambda: dict(g.step_constants(plan.precision), SOFTPLUS=g.softplus))
    return steps


def _entering_states(values: Tensor, inputs: Inputs, steps: Tensor, plan: Plan, backward: bool) -> Tensor:
    """The state (or the adjoint, for values = the output's gradient) that enters each chunk, (N, K, chunks, S, C)."""
    g = plan.geometry
    end = steps.new_empty((g.images, g.groups, g.chunks, g.states, g.channels))
    total = steps.new_empty((g.images, g.groups, g.chunks, g.channels))
    start = torch.empty_like(end)
    plan.launch('adjoints' if backward else 'states', plan.forward.local_kernel,
                (g.programs, g.blocks, 2 if g.paired else g.groups),
                (values, inputs.proj, steps, inputs.A, end, total, g.length, g.height, g.width, g.chunks, g.group_size,
                 g.channels // g.unit, g.rank), lambda: dict(g.constants(), BACKWARD=backward))
    plan.launch('carry', plan.forward.carry_kernel, (g.images * g.groups, g.states, g.carry_blocks),
                (end, total, inputs.A, start, g.chunks, int(backward), g.channels), g.carry_constants)
    return start


def run_forward(inputs: Inputs, plan: Plan) -> tuple[Tensor, Tensor]:
    """The output, like x, and the states that enter the chunks."""
    g, x = plan.geometry, inputs.x
    steps = _step_sizes(inputs, plan)
    start = _entering_states(x, inputs, steps, plan, False)
    rows = torch.empty_like(x, dtype=torch.float32) if g.paired else inputs.D  # else it is never touched
    y = torch.empty_like(x)
    for columns in range(g.launches):
        plan.launch('output', plan.forward.forward_kernel, (g.programs, g.blocks, 1 if g.paired else g.groups),
                    (x, inputs.proj, steps, inputs.A, inputs.D, start, rows, y, g.length, g.height, g.width, g.chunks,
                     g.group_size, columns, int(columns + 1 == g.launches), g.channels // g.unit, g.rank), g.constants)
    return y, start


def run_backward(grad_y: Tensor, inputs: Inputs, start: Tensor, plan: Plan) -> tuple[Tensor, ...]:
    """Gradients of the inputs, in their shapes and dtypes; that of delta is the step sizes', float32, where R > 0."""
    g, x = plan.geometry, inputs.x
    steps = _step_sizes(inputs, plan)
    incoming = _entering_states(grad_y, inputs, steps, plan, True)
    rows = torch.empty_like(x, dtype=torch.float32) if g.paired else inputs.D  # else it is never touched
    grad_x = torch.empty_like(x)
    parts = steps.new_empty((g.blocks, *inputs.proj.shape))
    grad_delta = torch.empty_like(steps, dtype=torch.float32 if g.rank else inputs.delta.dtype)
    sums = steps.new_empty((g.gradient_programs, g.groups, g.states + 2, g.channels))
    for columns in range(g.launches):
        plan.launch('gradients', plan.backward.backward_kernel,
                    (g.gradient_programs, g.blocks, 1 if g.paired else g.groups),
                    (grad_y, x, inputs.proj, steps, inputs.A, inputs.D, start, incoming, rows, grad_x, parts,
                     grad_delta, sums, g.images, g.length, g.height, g.width, g.chunks, g.gradient_group_size, columns,
                     int(columns + 1 == g.launches), g.channels // g.unit, g.rank),
                    lambda: dict(g.constants(), SOFTPLUS=g.softplus))
    grad_weights, grad_weight = sums, torch.empty_like(inputs.weight)
    if g.rank:
        grad_weights = steps.new_empty((g.rank_programs, g.groups, g.rank, g.channels))
        plan.launch('rank', plan.backward.rank_kernel, (g.rank_programs, g.blocks, g.groups),
                    (grad_delta, inputs.proj, inputs.weight, parts, grad_weights, g.positions,
                     g.channels // g.steps_unit, g.rank, g.tiles), lambda: g.rank_constants(plan.rank_precision))
    done = g.blocks == 1 and inputs.proj.dtype == torch.float32
    grad_proj = parts[0] if done else torch.empty_like(inputs.proj)
    grad_bias, grad_A, grad_D = map(torch.empty_like, inputs[-3:])
    plan.launch('finish', plan.backward.finish_kernel, (g.finish_programs(done), 1, 1),
                (parts, grad_weights, sums, grad_proj, grad_weight, grad_bias, grad_A, grad_D, g.positions, g.blocks,
                 g.gradient_programs, g.rank_programs, g.channels // g.steps_unit, g.rank), g.finish_constants)
    return grad_x, grad_proj, grad_delta, grad_weight, grad_bias, grad_A, grad_D
