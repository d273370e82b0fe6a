"""The sections of the GPU check. Each is a generator that yields where it may be cut short."""
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.ops import available_backends, cross_selective_scan, triton_launch
from mamba_cd_plugin.resources import find_config
from mamba_cd_plugin.synthetic import generate_pair

from .cases import _labels, identity_scan
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
        images: in a batch of the timed scans.
        batches: pairs of a training step.
        side: of a pair, px.
        config: of the timed model.
        steps, scenes, scene_side, scene_batch: of the training runs of the small model.
        repeats: of what is timed, at least.
        dtypes: names in DTYPES.
    """
    device: str = 'cuda'
    levels: Sequence[Tuple[int, int, int, int]] = ((64, 64, 64, 4), (32, 32, 128, 8), (16, 16, 256, 16),
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

    def backends(self) -> List[str]:
        """Those of the wanted backends that are here."""
        there = available_backends()
        return [name for name in self.names if there[name][0]]


TOY = Sizes('cpu', ((3, 4, 6, 1), ), 1, (2, ), 64, 'cdmamba_v8_small_levircd', 2, 2, 32, 2, 1, ('fp32', 'bf16'))


def scan_inputs(images: int, level: Sequence[int], dtype: torch.dtype, device: str) -> List[Tensor]:
    """Arguments of `cross_selective_scan` with one state, as in a model at its start; the weights stay float32."""
    height, width, channels, rank = level
    generator = torch.Generator().manual_seed(height)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    return [normal(images, height, width, channels).to(dtype), normal(images, height, width, 4, rank + 2).to(dtype),
            normal(4, channels, rank) * rank**-0.5, normal(4, channels) - 4, -normal(4, channels, 1).mul(0.3).exp(),
            normal(4, channels)]


def value_and_gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> List[Tensor]:
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


def time_calls(function: Callable[[], object], sizes: Sizes, budget: float = 0.15) -> Tuple[float, float]:
    """Median milliseconds of a call, and MiB that its peak takes above what was there."""
    for _ in range(2):
        function()
    if sizes.device == 'cpu':
        function()
        return 0., 0.
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times: List[float] = []
    while len(times) < sizes.repeats or (sum(times) < 1e3 * budget and len(times) < 200):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2], (torch.cuda.max_memory_allocated() - before) / 2**20


def warm_up(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Compile the kernels of all dtypes at once, each in a process of its own; Triton keeps them on disk."""
    code = ('import sys; from mamba_cd_plugin.analysis.gpu_check import *\n'
            'inputs = scan_inputs(1, (8, 8, 64, 4), DTYPES[sys.argv[1]], "cuda")\n'
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
            inputs = scan_inputs(min(2, sizes.images), level, DTYPES[dtype], sizes.device)
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
        totals: Dict[str, float] = {}
        for level in sizes.levels:
            height, width, channels, _ = level
            u, delta = (torch.randn(sizes.images, 4 * channels, height * width, device=sizes.device,
                                    dtype=DTYPES[dtype]) for _ in range(2))
            bound, _ = time_calls(partial(torch.add, u, delta), sizes)
            del u, delta
            inputs = scan_inputs(sizes.images, level, DTYPES[dtype], sizes.device)
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
                leaves = [t.requires_grad_() for t in scan_inputs(sizes.images, level, torch.bfloat16, sizes.device)]
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
        leaves = [t.requires_grad_() for t in scan_inputs(sizes.images, level, torch.bfloat16, sizes.device)]
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as record:
            for _ in range(5):
                torch.autograd.grad(run_scan(*leaves, backend='triton').sum(), leaves)
            torch.cuda.synchronize()
        for event in sorted(record.key_averages(), key=lambda e: -e.device_time_total)[:12]:
            report.add('profile', level=f'{level[0]}x{level[1]}x{level[2]}', kernel=event.key[:60],
                       calls=event.count // 5, us=event.device_time_total / 5)
        yield


class Trainer:
    """A model with its optimizer and one precision: `step` trains on a normalised batch."""

    def __init__(self, config: str, dtype: str, device: str, seed: int = 0, lr: float = 1e-4) -> None:
        torch.manual_seed(seed)
        built: Any = build_part(Config.fromfile(find_config(config)).model)
        built.init_weights()
        self.model = built.to(device).train()
        self.call: Callable[..., Any] = self.model
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr, fused=device != 'cpu')
        self.device, self.dtype = device, dtype
        self.scaler = torch.amp.GradScaler(device, enabled=dtype == 'fp16')

    def autocast(self) -> AbstractContextManager:
        """The context in which the model runs."""
        return nullcontext() if self.dtype == 'fp32' else torch.autocast(self.device, DTYPES[self.dtype])

    def step(self, pair: Tensor, samples: list) -> Tensor:
        """One training step; the loss stays on the device."""
        with self.autocast():
            loss = sum(self.call(pair, samples, mode='loss')[f'decode.loss_{name}'] for name in ('focal', 'lovasz'))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return loss.detach()

    @torch.inference_mode()
    def predict(self, pair: Tensor) -> Tensor:
        """The logits."""
        with self.autocast():
            return self.call(pair)


def _timed_batch(sizes: Sizes, count: int) -> Tuple[Tensor, list]:
    pair = torch.randn(count, 6, sizes.side, sizes.side, device=sizes.device)
    return pair, [sample.to(sizes.device) for sample in _labels(count, sizes.side, sizes.side)]


def model_speed(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """V8's forward and training step, with the scan and with the identity in its place."""
    for count in sizes.batches:
        pair, samples = _timed_batch(sizes, count)
        for dtype in sizes.dtypes:
            times: Dict[str, float] = {}
            for name in ('auto', 'identity'):
                trainer = Trainer(sizes.config, dtype, sizes.device)
                with identity_scan() if name == 'identity' else nullcontext():
                    try:
                        step, memory = time_calls(partial(trainer.step, pair, samples), sizes, 0.5)
                        trainer.model.eval()
                        prediction, _ = time_calls(partial(trainer.predict, pair), sizes, 0.3)
                    except torch.cuda.OutOfMemoryError:
                        report.add('model', batch=count, dtype=dtype, scan=name, note='out of memory')
                        torch.cuda.empty_cache()
                        continue
                times[name] = step
                report.add('model', batch=count, dtype=dtype, scan=name, forward_ms=prediction, training_step_ms=step,
                           peak_MiB=memory, pairs_per_second=1e3 * count / max(step, 1e-9))
                yield
            if len(times) == 2:
                report.claim(f'batch {count}, {dtype}: training step ({times["auto"]:.4g} ms) at most 1.15 x the '
                             f'identity\'s ({times["identity"]:.4g} ms)', times['auto'] <= 1.15 * times['identity'])
            if dtype == 'bf16':
                report.claim(f'batch {count} in bf16 fits the memory', 'auto' in times)


def _scenes(sizes: Sizes) -> Tuple[Tensor, Tensor]:
    with ProcessPoolExecutor() as pool:
        pairs = list(pool.map(partial(generate_pair, size=sizes.scene_side), range(sizes.scenes)))
    images = torch.stack([torch.from_numpy(np.concatenate([p.a, p.b], -1)).permute(2, 0, 1) for p in pairs])
    labels = torch.stack([torch.from_numpy(p.label)[None] > 0 for p in pairs])
    return ((images.float() - 118) / 58).to(sizes.device), labels.long().to(sizes.device)


def training(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Losses of the small model on generated scenes: two seeds in float32, one in each other precision."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    images, labels = _scenes(sizes)
    last: Dict[str, float] = {}
    for dtype, seed in [('fp32', 0), ('fp32', 1), *((dtype, 0) for dtype in sizes.dtypes if dtype != 'fp32')]:
        trainer = Trainer('cdmamba_v8_small_levircd', dtype, sizes.device, seed, 1e-3)
        order = torch.Generator().manual_seed(seed)
        losses = []
        for _ in range(sizes.steps):
            chosen = torch.randperm(sizes.scenes, generator=order)[:sizes.scene_batch]
            samples = [SegDataSample(gt_sem_seg=PixelData(data=labels[i])) for i in chosen]
            losses.append(trainer.step(images[chosen.to(sizes.device)], samples))
        values = torch.stack(losses).float().cpu()
        quarters = [float(part.mean()) for part in values.chunk(4)]
        last[f'{dtype} {seed}'] = quarters[-1]
        report.add('training', dtype=dtype, seed=seed, steps=sizes.steps, finite=bool(values.isfinite().all()),
                   **{f'loss_quarter_{i}': value for i, value in enumerate(quarters, 1)})
        report.claim(f'{dtype}, seed {seed}: all losses are finite', bool(values.isfinite().all()))
        yield
    mean = (last['fp32 0'] + last['fp32 1']) / 2
    spread = max(abs(last['fp32 0'] - last['fp32 1']), 0.05 * mean)  # two seeds may agree by chance
    for key in [key for key in last if not key.startswith('fp32')]:
        report.claim(f'loss of {key} at the end ({last[key]:.4g}) within the spread ({spread:.2g}) around fp32 '
                     f'({mean:.4g})', abs(last[key] - mean) <= spread)


def compiled(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """V8's training step under torch.compile, in bfloat16."""
    pair, samples = _timed_batch(sizes, sizes.batches[0])
    trainer = Trainer(sizes.config, 'bf16', sizes.device)
    trainer.model.backbone.compile()
    trainer.model.neck.compile()
    begin = report.elapsed
    trainer.step(pair, samples)
    took = report.elapsed - begin
    yield
    step, memory = time_calls(partial(trainer.step, pair, samples), sizes, 0.5)
    report.add('compiled', batch=sizes.batches[0], dtype='bf16', first_step_s=took, training_step_ms=step,
               peak_MiB=memory)


SECTIONS: Dict[str, Callable[[GpuReport, Sizes], Iterator[None]]] = {
    'warm-up': warm_up, 'correctness': correctness, 'scan': scan_speed, 'model': model_speed, 'training': training,
    'profile': profile, 'tuning': tuning, 'compiled': compiled,
}
