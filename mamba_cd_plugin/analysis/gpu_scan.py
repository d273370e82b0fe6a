"""The sections of the GPU check about the scan. Each is a generator that yields where it may be cut short."""
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from mamba_cd_plugin.ops import available_backends, cross_selective_scan, triton_launch

from .gpu_report import GpuReport

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
NAMES = ('y', 'x', 'proj', 'dt_weight', 'dt_bias', 'A', 'D')
# Largest error over the largest value: a few roundings of the dtype outside, of float32 inside.
TOLERANCES = {'fp32': 2e-5, 'bf16': 1e-2, 'fp16': 2e-3}
# Called with a spread of tensors, whose number mypy cannot see.
run_scan: Callable[..., Tensor] = cross_selective_scan


@dataclass(frozen=True)
class Sizes:
    """What is run.

    Attributes:
        levels: (H, W, C, R) of the encoder's maps.
        images: batch size of the timed scans.
        batches: pairs of a training step.
        side: side of a pair in pixels.
        config: config of the timed model.
        steps, scenes, scene_side, scene_batch: size of the training runs of the small model.
        repeats: least number of timed repetitions.
        dtypes: names in DTYPES.
    """
    device: str = 'cuda'
    levels: Sequence[tuple[int, int, int, int]] = ((64, 64, 64, 4), (32, 32, 128, 8), (16, 16, 256, 16),
                                                   (8, 8, 512, 32))
    images: int = 24
    batches: Sequence[int] = (12, 128)
    side: int = 256
    config: str = 'cdmamba_v8_levircd'
    steps: int = 200
    scenes: int = 64
    scene_side: int = 128
    scene_batch: int = 8
    repeats: int = 10
    dtypes: Sequence[str] = tuple(DTYPES)
    names: Sequence[str] = field(default=('triton', 'mamba_ssm', 'torch'))

    def backends(self) -> list[str]:
        """Those of the wanted backends that are here."""
        there = available_backends()
        return [name for name in self.names if there[name][0]]


TOY = Sizes('cpu', ((3, 4, 6, 1), ), 1, (2, ), 64, 'cdmamba_v8_small_levircd', 2, 2, 32, 2, 1, ('fp32', 'bf16'))


def cross_scan_inputs(images: int, level: Sequence[int], dtype: torch.dtype, device: str) -> list[Tensor]:
    """Arguments of `cross_selective_scan` with one state, as in a model at its start; the weights stay float32."""
    height, width, channels, rank = level
    generator = torch.Generator().manual_seed(height)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    return [normal(images, height, width, channels).to(dtype), normal(images, height, width, 4, rank + 2).to(dtype),
            normal(4, channels, rank) * rank**-0.5, normal(4, channels) - 4, -normal(4, channels, 1).mul(0.3).exp(),
            normal(4, channels)]


def value_and_gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """y and the gradients of all inputs for a fixed output gradient."""
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    y = function(*leaves)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@torch.no_grad()
def forward(backend: str, inputs: Sequence[Tensor]) -> Tensor:
    """y, without what a backward needs."""
    return run_scan(*inputs, backend=backend)


def forward_and_backward(backend: str, leaves: Sequence[Tensor], grad: Tensor) -> Sequence[Tensor]:
    """The gradients of all inputs."""
    return torch.autograd.grad(run_scan(*leaves, backend=backend), leaves, grad)


def time_calls(function: Callable[[], object], sizes: Sizes, budget: float = 0.15) -> tuple[float, float]:
    """Median milliseconds of a call, and MiB that its peak takes above what was there."""
    for _ in range(2):
        function()
    if sizes.device == 'cpu':
        function()
        return 0., 0.
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    while len(times) < sizes.repeats or (sum(times) < 1e3 * budget and len(times) < 200):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2], (torch.cuda.max_memory_allocated() - before) / 2**20


def compile_kernels(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Compile the kernels of all dtypes at once, each in a process of its own; Triton keeps them on disk."""
    code = ('import sys; from mamba_cd_plugin.analysis.gpu_scan import *\n'
            'inputs = cross_scan_inputs(1, (8, 8, 64, 4), DTYPES[sys.argv[1]], "cuda")\n'
            'value_and_gradients(partial(cross_selective_scan, backend="triton"), inputs); torch.cuda.synchronize()')
    if sizes.device == 'cpu' or 'triton' not in sizes.backends():
        return
    workers = {dtype: subprocess.Popen([sys.executable, '-c', code, dtype]) for dtype in sizes.dtypes}
    for dtype, worker in workers.items():
        report.add('warm-up', dtype=dtype, exit_status=worker.wait(timeout=300), seconds_since_start=report.elapsed)
        yield


def correctness(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Every backend at the model's sizes against plain torch in float64, value and gradients."""
    for level in sizes.levels:
        for dtype in sizes.dtypes:
            inputs = cross_scan_inputs(min(2, sizes.images), level, DTYPES[dtype], sizes.device)
            expected = value_and_gradients(partial(cross_selective_scan, backend='torch'), [t.double() for t in inputs])
            for name in sizes.backends():
                function = partial(cross_selective_scan, backend=name)
                actual = value_and_gradients(function, inputs)
                errors = [((a.double() - e).abs().max() / e.abs().max()).item() for a, e in zip(actual, expected)]
                report.add('correctness', level=f'{level[0]}x{level[1]}x{level[2]}', dtype=dtype, backend=name,
                           **{key: float(f'{error:.2g}') for key, error in zip(NAMES, errors)})
                limit = TOLERANCES[dtype]
                report.claim(f'{name}, {dtype}, {level}: errors within {limit:g}, largest {max(errors):.1e}',
                             max(errors) <= limit)
                if name == 'triton':
                    again = value_and_gradients(function, inputs)
                    report.claim(f'triton, {dtype}, {level}: a second run gives the same bits',
                                 all(torch.equal(a, b) for a, b in zip(actual, again)))
                yield


def scan_speed(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Each backend at the model's sizes, beside `u + delta` on the four sequences of steps and copies."""
    for dtype in [name for name in sizes.dtypes if name != 'fp16']:
        totals: dict[str, float] = {}
        for level in sizes.levels:
            height, width, channels, _ = level
            u, delta = (torch.randn(sizes.images, 4 * channels, height * width, device=sizes.device,
                                    dtype=DTYPES[dtype]) for _ in range(2))
            bound, _ = time_calls(partial(torch.add, u, delta), sizes)
            del u, delta
            inputs = cross_scan_inputs(sizes.images, level, DTYPES[dtype], sizes.device)
            leaves = [t.requires_grad_() for t in inputs]
            grad = torch.randn_like(leaves[0])
            for name in sizes.backends():
                once, _ = time_calls(partial(forward, name, leaves), sizes)
                twice, memory = time_calls(partial(forward_and_backward, name, leaves, grad), sizes)
                report.add('scan', level=f'{height}x{width}x{channels}', images=sizes.images, dtype=dtype,
                           backend=name, forward_ms=once, forward_backward_ms=twice, peak_MiB=memory,
                           u_plus_delta_ms=bound)
                totals[name] = totals.get(name, 0.) + twice
                totals['bound'] = totals.get('bound', 0.) + bound / len(sizes.backends())
                yield
        if 'triton' in totals:
            # Forward and backward move about 3 times what u + delta moves: 9 arrays of the size of u.
            report.claim(f'{dtype}: triton forward + backward of all levels ({totals["triton"]:.3g} ms) within 2 x the '
                         f'streaming bound ({3 * totals["bound"]:.3g} ms)', totals['triton'] <= 6 * totals['bound'])
            for name in [name for name in ('mamba_ssm', 'torch') if name in totals]:
                report.claim(f'{dtype}: triton ({totals["triton"]:.3g} ms) at most as long as {name} '
                             f'({totals[name]:.3g} ms)', totals['triton'] <= totals[name])


def tuning(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Other lengths of chunk and blocks of channels than the ones that are set."""
    variants = ((8, 64), (8, 32), (4, 64), (4, 128))
    before = triton_launch.STEPS_BY_STATES, triton_launch.MAX_BLOCK
    try:
        for steps, block in variants:
            triton_launch.STEPS_BY_STATES, triton_launch.MAX_BLOCK = ((4, steps), ), block
            for level in sizes.levels:
                inputs = cross_scan_inputs(sizes.images, level, torch.bfloat16, sizes.device)
                leaves = [t.requires_grad_() for t in inputs]
                grad = torch.randn_like(leaves[0])
                once, _ = time_calls(partial(forward, 'triton', leaves), sizes)
                twice, _ = time_calls(partial(forward_and_backward, 'triton', leaves, grad), sizes)
                report.add('tuning', steps=steps, block=block, level=f'{level[0]}x{level[1]}x{level[2]}',
                           forward_ms=once, forward_backward_ms=twice)
                yield
    finally:
        triton_launch.STEPS_BY_STATES, triton_launch.MAX_BLOCK = before


def profile(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Time of each kernel of one scan, forward and backward."""
    if sizes.device == 'cpu':
        return
    for level in (sizes.levels[0], sizes.levels[-1]):
        leaves = [t.requires_grad_() for t in cross_scan_inputs(sizes.images, level, torch.bfloat16, sizes.device)]
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as record:
            for _ in range(5):
                torch.autograd.grad(run_scan(*leaves, backend='triton').sum(), leaves)
            torch.cuda.synchronize()
        for event in sorted(record.key_averages(), key=lambda e: -e.device_time_total)[:12]:
            report.add('profile', level=f'{level[0]}x{level[1]}x{level[2]}', kernel=event.key[:60],
                       calls=event.count // 5, us=event.device_time_total / 5)
        yield


def _same_gradients(rank: int, world: int, path: str) -> None:
    """One of the processes of `several_gpus`: a step on its share of a batch, and on the whole batch alone."""
    import torch.distributed as dist
    torch.cuda.set_device(rank)
    dist.init_process_group('nccl', init_method=f'file://{path}', rank=rank, world_size=world)
    leaves = cross_scan_inputs(world, (16, 16, 64, 4), torch.float32, f'cuda:{rank}')
    weights = [t.requires_grad_() for t in leaves[2:]]

    def gradient(part: slice) -> Tensor:
        y = run_scan(leaves[0][part], leaves[1][part], *weights)
        return torch.autograd.grad(y.square().sum(), weights)[0]

    share = gradient(slice(rank, rank + 1))
    dist.all_reduce(share)
    torch.testing.assert_close(share, gradient(slice(0, world)), rtol=1e-4, atol=1e-4)
    dist.destroy_process_group()


def several_gpus(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Where there are several GPUs: the scan's gradients, summed over processes, are those of one."""
    world = 0 if sizes.device == 'cpu' else torch.cuda.device_count()
    if world < 2:
        report.notes['several GPUs'] = f'{world} of the two GPUs that it takes are here'
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_same_gradients, (world, f'{folder}/meeting'), world)
    report.claim(f'gradients of the scan over {world} GPUs are those of one', True)
    yield
