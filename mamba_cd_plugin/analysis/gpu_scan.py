"""The sections of the GPU check about the scan. Each is a generator that yields where it may be cut short."""
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from mamba_cd_plugin.ops import available_backends, cross_selective_scan, triton_geometry

from .gpu_report import GpuReport

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
NAMES = ('y', 'x', 'proj', 'dt_weight', 'dt_bias', 'A', 'D')
# Largest error over the largest value: a few roundings of the dtype outside, of float32 inside.
TOLERANCES = {'fp32': 2e-5, 'bf16': 1e-2, 'fp16': 2e-3}
# Positions of a chunk and channels of a program, that `tuning` compares.
TUNED = ((8, 64), (8, 32), (4, 64), (4, 128), (16, 32))
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
        run_batch, run_side: batch and side of the scenes of the run by `mamba-cd train`.
        repeats: timed repetitions; fewer of a call that takes a second.
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
    run_batch: int = 32
    run_side: int = 256
    repeats: int = 10
    dtypes: Sequence[str] = tuple(DTYPES)
    names: Sequence[str] = field(default=('triton', 'mamba_ssm', 'torch'))

    def backends(self) -> list[str]:
        """Those of the wanted backends that are here."""
        there = available_backends()
        return [name for name in self.names if there[name][0]]


TOY = Sizes('cpu', ((3, 4, 6, 1), ), 1, (2, ), 64, 'cdmamba_v8_small_levircd', 2, 2, 32, 2, 2, 128, 1, ('fp32', 'bf16'))


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
    if sizes.device == 'cpu':
        function()
        return 0., 0.
    for _ in range(2):
        function()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    # Many calls of a short one; a step of a second three times.
    while len(times) < 3 or sum(times) < 1e3 * budget * (4 if len(times) < sizes.repeats else len(times) < 200):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2], (torch.cuda.max_memory_allocated() - before) / 2**20


def device_time(function: Callable[[], object], sizes: Sizes, budget: float = 0.1) -> tuple[float, str]:
    """Milliseconds that the GPU works for a call, and how they were found: the host's part is left out.

    The call is captured in a CUDA graph and replayed without a wait between replays. Replays read the same tensors
    again, so that those of small maps come out of the L2 cache. Where it cannot be captured: the sum of its kernels'
    times, by torch's profiler, without the gaps between them.
    """
    function()
    if sizes.device == 'cpu':
        return 0., 'nothing'
    torch.cuda.synchronize()
    try:
        return _replay_time(function, budget), 'graph'
    except Exception as error:  # a call that waits for the GPU, or allocates otherwise, cannot be captured
        print(f'no CUDA graph ({type(error).__name__}: {str(error)[:200]}); torch.profiler sums up', file=sys.stderr)
    torch.cuda.synchronize()
    return kernel_time(function, sizes, 5), 'profiler'


def kernel_time(function: Callable[[], object], sizes: Sizes, calls: int = 2) -> float:
    """Milliseconds that the kernels of a call run, added up by torch's profiler."""
    if sizes.device == 'cpu':
        function()
        return 0.
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as record:
        for _ in range(calls):
            function()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in record.key_averages()) / calls / 1e3


def _replay_time(function: Callable[[], object], budget: float) -> float:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # a capture must not meet anything that is set up at a first call
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    replays, times = 1, [0.]
    while times[-1] < 1e3 * budget / 4 and replays < 2000:  # so many replays that their start does not count
        replays *= 4
        times = []
        for _ in range(3):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(replays):
                graph.replay()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end))
    del graph  # and its memory, before the next one
    return sorted(times)[1] / replays


def _compile(report: GpuReport, section: str, variants: Sequence[tuple[str, int, int, int]]) -> Iterator[None]:
    """Compile the kernels of (dtype, channels, steps, block) at once, each in its own process; Triton keeps them."""
    code = ('import sys; from mamba_cd_plugin.analysis.gpu_scan import *\n'
            'channels, steps, triton_geometry.MAX_BLOCK = (int(word) for word in sys.argv[2:])\n'
            'triton_geometry.STEPS_BY_STATES = ((4, steps), )\n'
            'for rank in 2, 32:\n'  # products of 16 and of 32 ranks
            '    inputs = cross_scan_inputs(1, (8, 8, channels, rank), DTYPES[sys.argv[1]], "cuda")\n'
            '    value_and_gradients(partial(cross_selective_scan, backend="triton"), inputs)\n'
            'torch.cuda.synchronize()')
    workers = [subprocess.Popen([sys.executable, '-c', code, *map(str, variant)]) for variant in variants]
    try:
        for (dtype, channels, steps, block), worker in zip(variants, workers):
            report.add(section, dtype=dtype, channels=channels, steps=steps, block=block,
                       exit_status=worker.wait(timeout=300), seconds_since_start=report.elapsed)
            yield
    finally:
        for worker in workers:
            worker.kill()


def compile_kernels(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Compile the kernels of all dtypes, at the model's width and at that of the small model's first level."""
    if sizes.device == 'cpu' or 'triton' not in sizes.backends():
        return
    steps, block = triton_geometry.STEPS_BY_STATES[0][1], triton_geometry.MAX_BLOCK
    yield from _compile(report, 'warm-up', [(dtype, channels, steps, block) for channels in (64, 24)
                                            for dtype in sizes.dtypes])


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
    """Each backend at the model's sizes, beside `u + delta` on the four sequences of steps and copies.

    Of each call the time that it takes when it is waited for (ms), to which starting its kernels belongs, and the time
    that the GPU works for it (device_ms), which is what the claims are about.
    """
    for dtype in [name for name in sizes.dtypes if name != 'fp16']:
        totals: dict[str, float] = {}
        for level in sizes.levels:
            height, width, channels, _ = level
            u, delta = (torch.randn(sizes.images, 4 * channels, height * width, device=sizes.device,
                                    dtype=DTYPES[dtype]) for _ in range(2))
            bound, how = device_time(partial(torch.add, u, delta), sizes)
            row = dict(level=f'{height}x{width}x{channels}', images=sizes.images, dtype=dtype)
            report.add('scan', **row, backend='u + delta', forward_device_ms=bound, by=how)
            totals['bound'] = totals.get('bound', 0.) + bound
            del u, delta
            leaves = [t.requires_grad_() for t in cross_scan_inputs(sizes.images, level, DTYPES[dtype], sizes.device)]
            grad = torch.randn_like(leaves[0])
            for name in sizes.backends():
                calls = partial(forward, name, leaves), partial(forward_and_backward, name, leaves, grad)
                once, _ = time_calls(calls[0], sizes)
                twice, memory = time_calls(calls[1], sizes)
                (once_device, _), (twice_device, how) = (device_time(call, sizes) for call in calls)
                report.add('scan', **row, backend=name, forward_ms=once, forward_backward_ms=twice,
                           forward_device_ms=once_device, forward_backward_device_ms=twice_device, by=how,
                           peak_MiB=memory)
                totals[name] = totals.get(name, 0.) + twice_device
                yield
        if 'triton' in totals:
            # Forward and backward move about 3 times what u + delta moves: 9 arrays of the size of u.
            report.claim(f'{dtype}: the GPU works for triton forward + backward of all levels {totals["triton"]:.3g} '
                         f'ms, within 2 x the streaming bound of {3 * totals["bound"]:.3g} ms',
                         totals['triton'] <= 6 * totals['bound'])
            for name in [name for name in ('mamba_ssm', 'torch') if name in totals]:
                report.claim(f'{dtype}: the GPU works for triton {totals["triton"]:.3g} ms, at most as long as for '
                             f'{name} ({totals[name]:.3g} ms)', totals['triton'] <= totals[name])


def tuning(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Other lengths of chunk and blocks of channels than the ones that are set: the time that the GPU works."""
    if 'triton' not in sizes.backends():
        return
    if sizes.device != 'cpu':
        yield from _compile(report, 'compilation for tuning', [(dtype, 64, *variant) for variant in TUNED
                                                               for dtype in sizes.dtypes[:2]])
    before = triton_geometry.STEPS_BY_STATES, triton_geometry.MAX_BLOCK
    try:
        for steps, block in TUNED:
            triton_geometry.STEPS_BY_STATES, triton_geometry.MAX_BLOCK = ((4, steps), ), block
            for dtype in sizes.dtypes[:2]:
                for level in sizes.levels:
                    inputs = cross_scan_inputs(sizes.images, level, DTYPES[dtype], sizes.device)
                    leaves = [t.requires_grad_() for t in inputs]
                    grad = torch.randn_like(leaves[0])
                    once, _ = device_time(partial(forward, 'triton', leaves), sizes, 0.05)
                    twice, how = device_time(partial(forward_and_backward, 'triton', leaves, grad), sizes, 0.05)
                    report.add('tuning', steps=steps, block=block, dtype=dtype,
                               level=f'{level[0]}x{level[1]}x{level[2]}', forward_device_ms=once,
                               forward_backward_device_ms=twice, by=how)
                    yield
    finally:
        triton_geometry.STEPS_BY_STATES, triton_geometry.MAX_BLOCK = before


def profile(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Time of each kernel of one scan, forward and backward, at all sizes."""
    if sizes.device == 'cpu':
        return
    for dtype in ('fp32', 'bf16'):
        for level in sizes.levels:
            inputs = cross_scan_inputs(sizes.images, level, DTYPES[dtype], sizes.device)
            leaves = [t.requires_grad_() for t in inputs]
            grad = torch.randn_like(leaves[0])
            forward_and_backward('triton', leaves, grad)
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as record:
                for _ in range(5):
                    forward_and_backward('triton', leaves, grad)
                torch.cuda.synchronize()
            for event in sorted(record.key_averages(), key=lambda e: -e.device_time_total)[:14]:
                if event.device_time_total > 0:
                    report.add('profile', level=f'{level[0]}x{level[1]}x{level[2]}', dtype=dtype,
                               kernel=event.key[:60], calls=event.count // 5, us=event.device_time_total / 5)
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
