"""Compiles the Triton kernels of the scan for a GPU that need not be there, and reads what they take of it."""
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mamba_cd_plugin.ops.triton_geometry import LAUNCH, Geometry, precisions

# Arguments in the dtype of the map; the other tensors are float32.
_MAPS = ('x', 'proj', 'delta', 'grad_y', 'y', 'grad_x', 'grad_proj')


def compile_kernel(function: Any, capability: int, dtype: str, constants: dict[str, Any]) -> Any:
    """Compile one kernel.

    Args:
        function: a kernel of `mamba_cd_plugin.ops`.
        capability: compute capability of the GPU, 90 for 9.0.
        dtype: dtype of the map, as Triton names it: fp32, bf16 or fp16.
        constants: values of its constexpr arguments, and of others that it does not have.

    Returns:
        Triton's compiled kernel, with asm['ptx'] and asm['cubin'].
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mamba_cd_plugin.ops.triton_parts import SIZES
    signature, aligned = {}, {}
    for index, parameter in enumerate(function.params):
        name = parameter.name
        if parameter.is_constexpr:
            signature[name] = 'constexpr'
        elif name in SIZES:
            signature[name] = 'i32'
        else:
            signature[name] = f'*{dtype if name in _MAPS else "fp32"}'
        if not parameter.is_constexpr and name not in SIZES:  # what Triton finds out of the arguments of a call
            aligned[(index, )] = [['tt.divisibility', 16]]
    values = {p.name: constants[p.name] for p in function.params if p.is_constexpr}
    source = ASTSource(fn=function, signature=signature, constexprs=values, attrs=aligned)
    options = {name: constants[name] for name in LAUNCH}
    return triton.compile(source, target=GPUTarget('cuda', capability, 32), options=options)


def kernels_of_the_model(capability: int, dtype: str) -> dict[str, Any]:
    """The kernels that a scan with one state takes, by name."""
    from mamba_cd_plugin.ops.triton_backward import backward_kernel, finish_kernel, rank_kernel
    from mamba_cd_plugin.ops.triton_forward import carry_kernel, forward_kernel, local_kernel, steps_kernel
    geometry = Geometry(2, 64, 64, 64, 4, 4, 1, True, True)
    constants = geometry.constants()
    precision, of_rank = precisions(capability >= 80, dtype != 'fp32')
    variants: dict[str, tuple[Any, dict[str, Any]]] = {
        'local, forward': (local_kernel, dict(BACKWARD=False)),
        'local, backward': (local_kernel, dict(BACKWARD=True)),
        'carry': (carry_kernel, geometry.carry_constants()),
        'forward': (forward_kernel, {}),
        'backward': (backward_kernel, dict(SOFTPLUS=True)),
        'steps': (steps_kernel, dict(geometry.step_constants(precision), SOFTPLUS=True)),
        'rank': (rank_kernel, geometry.rank_constants(of_rank)),
        'finish': (finish_kernel, geometry.finish_constants()),
    }
    return {name: compile_kernel(function, capability, dtype, {**constants, **more})
            for name, (function, more) in variants.items()}


def resources(kernel: Any) -> tuple[int, int]:
    """Registers and bytes of stack (spilled registers) of a thread, as the disassembler beside Triton reads them."""
    from triton import backends
    program = next(Path(backends.__file__).parent.glob('nvidia/bin/cuobjdump*'))
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(kernel.asm['cubin'])
        file.flush()
        text = subprocess.run([str(program), '--dump-resource-usage', file.name], capture_output=True, text=True,
                              check=True).stdout
    registers, stack = (int(re.search(rf'{word}:(\d+)', text).group(1)) for word in ('REG', 'STACK'))
    return registers, stack
