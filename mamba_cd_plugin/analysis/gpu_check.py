"""The sections of the GPU check: those about the model, and the list of all."""
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mamba_cd_plugin.models.layers import build_part
from mamba_cd_plugin.resources import find_config
from mamba_cd_plugin.stack import initialize_quietly
from mamba_cd_plugin.synthetic import generate_pair

from .cases import identity_scan, random_labels
from .gpu_report import GpuReport
from .gpu_scan import (
    DTYPES,
    TOY,
    Sizes,
    compile_kernels,
    correctness,
    kernel_time,
    profile,
    scan_speed,
    several_gpus,
    time_calls,
    tuning,
)

__all__ = ['SECTIONS', 'TOY', 'Sizes']


class Trainer:
    """A model with its optimizer and one precision: `step` trains on a normalised batch."""

    def __init__(self, config: str, dtype: str, device: str, seed: int = 0, lr: float = 1e-4) -> None:
        torch.manual_seed(seed)
        built: Any = build_part(Config.fromfile(find_config(config)).model)
        initialize_quietly(built)
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


def _timed_batch(sizes: Sizes, count: int) -> tuple[Tensor, list]:
    pair = torch.randn(count, 6, sizes.side, sizes.side, device=sizes.device)
    return pair, [sample.to(sizes.device) for sample in random_labels(count, sizes.side, sizes.side)]


def _model_rows(report: GpuReport, sizes: Sizes, section: str, rows: Iterable[tuple[str, int, str]]) -> Iterator[None]:
    """V8's forward and training step for each (dtype, batch, scan)."""
    for dtype, count, name in rows:
        row = dict(batch=count, dtype=dtype, scan=name)
        pair, samples = _timed_batch(sizes, count)
        trainer = Trainer(sizes.config, dtype, sizes.device)
        try:
            with identity_scan() if name == 'identity' else nullcontext():
                step, memory = time_calls(partial(trainer.step, pair, samples), sizes, 0.5)
                # The profiler takes seconds: only in the precision that most will train in.
                busy = {'training_step_device_ms': kernel_time(partial(trainer.step, pair, samples), sizes)
                        } if dtype == 'bf16' else {}
                trainer.model.eval()
                prediction, _ = time_calls(partial(trainer.predict, pair), sizes, 0.3)
            report.add(section, **row, forward_ms=prediction, training_step_ms=step, peak_MiB=memory,
                       pairs_per_second=1e3 * count / max(step, 1e-9), **busy)
        except torch.cuda.OutOfMemoryError:
            report.add(section, **row, note='out of memory')
        del trainer, pair, samples
        if sizes.device != 'cpu':
            torch.cuda.empty_cache()
        claim_about_model(report, dtype, count, name)
        yield


def claim_about_model(report: GpuReport, dtype: str, count: int, name: str) -> None:
    """What the row that was added last shows: that it fits, or how it compares with its counterpart."""
    steps = {row['scan']: row.get('training_step_ms') for section in ('model', 'more of the model')
             for row in report.sections.get(section, []) if (row['dtype'], row['batch']) == (dtype, count)}
    scan, identity = steps.get('auto'), steps.get('identity')
    if name == 'auto' and dtype == 'bf16':
        report.claim(f'batch {count} in bf16 fits the memory', scan is not None)
    if scan is not None and identity is not None:
        report.claim(f'batch {count}, {dtype}: training step ({scan:.4g} ms) at most 1.15 x the identity\'s '
                     f'({identity:.4g} ms)', scan <= 1.15 * identity)


def claimed_rows(sizes: Sizes) -> list[tuple[str, int, str]]:
    """The rows (dtype, batch, scan) of the model's first section: those that a goal is about."""
    small, large = sizes.batches[0], sizes.batches[-1]
    return list(dict.fromkeys([*((dtype, small, name) for dtype in ('bf16', 'fp32') for name in ('auto', 'identity')),
                               ('bf16', large, 'auto')]))


def model_speed(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """V8 with the scan and with the identity in its place, and with a large batch."""
    return _model_rows(report, sizes, 'model', claimed_rows(sizes))


def more_of_the_model(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """The other precisions and batches."""
    rows = [(dtype, count, name) for dtype in sizes.dtypes for count in sizes.batches for name in ('auto', 'identity')]
    return _model_rows(report, sizes, 'more of the model', [row for row in rows if row not in claimed_rows(sizes)])


def _scenes(sizes: Sizes) -> tuple[Tensor, Tensor]:
    with ProcessPoolExecutor(mp_context=get_context('spawn')) as pool:  # a process with CUDA in it is not to be forked
        pairs = list(pool.map(partial(generate_pair, size=sizes.scene_side), range(sizes.scenes)))
    images = torch.stack([torch.from_numpy(np.concatenate([p.a, p.b], -1)).permute(2, 0, 1) for p in pairs])
    labels = torch.stack([torch.from_numpy(p.label)[None] > 0 for p in pairs])
    return ((images.float() - 118) / 58).to(sizes.device), labels.long().to(sizes.device)


def training(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """Losses of the small model on generated scenes: two seeds in float32, one in each other precision."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    images, labels = _scenes(sizes)
    last: dict[str, float] = {}
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
        if dtype != 'fp32':
            mean = (last['fp32 0'] + last['fp32 1']) / 2
            spread = max(abs(last['fp32 0'] - last['fp32 1']), 0.05 * mean)  # two seeds may agree by chance
            report.claim(f'loss of {dtype} {seed} at the end ({quarters[-1]:.4g}) within the spread ({spread:.2g}) '
                         f'around fp32 ({mean:.4g})', abs(quarters[-1] - mean) <= spread)
        yield


def compiled(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """V8 under torch.compile in bfloat16: the training step, the forward, and the forward replayed as a CUDA graph.

    Each is compiled anew, and one that fails is a row of its own and leaves the others.
    """
    pair, samples = _timed_batch(sizes, sizes.batches[0])
    modes = [('training_step', None), ('forward', None), ('forward', 'reduce-overhead')]
    for what, mode in modes[:2] if sizes.device == 'cpu' else modes:
        trainer = Trainer(sizes.config, 'bf16', sizes.device)
        trainer.model.backbone.compile(mode=mode)
        trainer.model.neck.compile(mode=mode)
        trainer.model.train(what == 'training_step')
        call: Callable[[], Tensor] = (partial(trainer.step, pair, samples) if what == 'training_step' else
                                      partial(trainer.predict, pair))
        row = dict(batch=sizes.batches[0], dtype='bf16', what=what, mode=mode or 'default')
        begin = report.elapsed
        try:
            call()
            first = report.elapsed - begin
            time, memory = time_calls(call, sizes, 0.5)
            report.add('compiled', **row, ms=time, first_call_s=first, peak_MiB=memory)
        except Exception as error:  # the compiler's errors have no common class
            traceback.print_exc()
            report.add('compiled', **row, note=f'{type(error).__name__}: {str(error)[:200]}')
            report.claim(f'{what} runs under torch.compile, mode {mode or "default"}', False)
        torch.compiler.reset()
        yield


def _run_command(arguments: list[str]) -> None:
    command = [sys.executable, '-m', 'mamba_cd_plugin', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    if done.returncode:
        raise RuntimeError(f'mamba-cd {arguments[0]} ended with {done.returncode}: '
                           f'{(done.stderr or done.stdout)[-500:]}')


def whole_run(report: GpuReport, sizes: Sizes) -> Iterator[None]:
    """`mamba-cd train` of the small model on written scenes in bfloat16: what a step takes with data, hooks and log."""
    batch = sizes.run_batch
    with tempfile.TemporaryDirectory() as folder:
        data, work = f'{folder}/scenes', f'{folder}/run'
        _run_command(['synthetic', data, '--easy', '--num-train', str(12 * batch), '--num-val', str(max(8, batch)),
                      '--num-test', '1', '--size', str(sizes.run_side)])
        yield
        _run_command([
            'train', 'cdmamba_v8_small_synthetic', '--amp', 'bf16', '--work-dir', work, '--cfg-options',
            f'data_root={data}', f'train_dataloader.batch_size={batch}',
            f'train_dataloader.num_workers={min(8, os.cpu_count() or 1)}', 'train_cfg.max_epochs=4',
            'train_cfg.val_interval=4', 'param_scheduler.1.T_max=4', 'default_hooks.logger.interval=6',
            'env_cfg.cudnn_benchmark=False'])  # which takes a minute before the first step
        lines = [json.loads(line) for path in Path(work).glob('*/vis_data/scalars.json')
                 for line in path.read_text().splitlines()]
    logged = [line for line in lines if 'loss' in line]
    for line in logged[-2:]:
        report.add('run', batch=batch, side=sizes.run_side, dtype='bf16', step=line['step'],
                   step_ms=1e3 * line['time'], of_them_waiting_for_data_ms=1e3 * line['data_time'], loss=line['loss'],
                   peak_MiB=line.get('memory', 0))
    report.claim('mamba-cd train in bf16 runs to its end and validates', any('changed_F1' in line for line in lines))
    yield


SECTIONS: dict[str, Callable[[GpuReport, Sizes], Iterator[None]]] = {
    'warm-up': compile_kernels, 'correctness': correctness, 'scan': scan_speed, 'profile': profile,
    'model': model_speed, 'training': training, 'run': whole_run, 'compiled': compiled,
    'more of the model': more_of_the_model, 'several GPUs': several_gpus, 'tuning': tuning,
}
