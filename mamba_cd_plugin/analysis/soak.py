"""Commands left alone for long: memory, open files and threads of a process and its children, and whether they grow."""
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import stats

from ..io.files import whole_file
from .processes import descendants

PAUSE = 2.  # seconds between two samples
PATIENCE = 120.  # seconds for the process to end after a signal
# The first part of a run fills caches and pools.
WARM_UP = 0.2
# What half an hour may add: of memory a share, since allocators round up, and the history of a training grows by a few
# numbers each iteration; of files and threads less than one.
HALF_HOUR = 1800.
GROWTH = 0.03
# Samples of one moment depend on those before. Medians of so many parts of a run hardly do, and are spared by peaks.
PARTS = 12
CONFIDENCE = 0.99
SIDE = 160


class Sample(NamedTuple):
    """A process and its children at one moment.

    Attributes:
        second: Since the work has begun.
        memory: Resident bytes of the process alone.
        children: Resident bytes of its children.
        files: Open files of all.
        threads: Threads of all.
    """
    second: float
    memory: int
    children: int
    files: int
    threads: int


class Soak(NamedTuple):
    """A run.

    Attributes:
        name: What it is called in the plot.
        samples: The samples, oldest first.
        status: Exit status.
        done: What it got through, in words.
    """
    name: str
    samples: list[Sample]
    status: int
    done: str


class Verdict(NamedTuple):
    """Whether something grew.

    Attributes:
        low, high: What half an hour adds at least and at most, in bytes or pieces.
        word: 'flat', 'grew', or 'uncertain': it may be more than is allowed, and it may be less.
    """
    low: float
    high: float
    word: str


def watch(command: Sequence[str], seconds: float, log: Path,
          works: Callable[[], bool] = lambda: True) -> tuple[list[Sample], int]:
    """Run a command and sample it.

    Args:
        command: Without shell.
        seconds: Of work, after which it gets SIGTERM. (SIGINT may be ignored: shells do so for what they start in the
            background.)
        log: File for its output.
        works: Whether it has begun its work; what comes before is neither counted nor sampled. Predict opens all pairs
            first to check them, which took half of 30 minutes on a crowded machine.

    Returns:
        The samples from the moment on from which it works, and its exit status.
    """
    samples: list[Sample] = []
    start: float | None = None
    with log.open('w') as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None and (start is None or time.monotonic() - start < seconds):
                time.sleep(PAUSE)
                if start is None and works():
                    start = time.monotonic()
                sample = None if start is None else take_sample(process.pid, time.monotonic() - start)
                if sample is not None:
                    samples.append(sample)
            if process.poll() is None:
                process.terminate()
            status = process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return samples, status


def take_sample(pid: int, second: float) -> Sample | None:
    """What a process and its children take now; None where it has ended."""
    try:
        own, *children = [_of_process(each) for each in (pid, *descendants(pid))]
    except (FileNotFoundError, ProcessLookupError, ValueError):  # one ended meanwhile
        return None
    if own is None:
        return None
    memory, files, threads = zip(own, *filter(None, children))
    return Sample(second, memory[0], sum(memory[1:]), sum(files), sum(threads))


def _of_process(pid: int) -> tuple[int, int, int] | None:
    """Bytes, open files and threads; None for a process that has ended and is still listed."""
    status = dict(line.split(':', 1) for line in Path(f'/proc/{pid}/status').read_text().splitlines())
    if 'VmRSS' not in status:
        return None
    return int(status['VmRSS'].split()[0]) << 10, len(os.listdir(f'/proc/{pid}/fd')), int(status['Threads'])


def judge(samples: Sequence[Sample]) -> dict[str, Verdict]:
    """Whether a run is flat after its warm-up, for memory, the memory of children, open files and threads.

    A line is fitted through the medians of its parts, by Theil's and Sen's method. What half an hour adds is as certain
    as these medians lie on the line: a run that is too short, or too restless, for what it shows is called so.

    Args:
        samples: Samples of a run, oldest first.

    Returns:
        The verdicts by name; none where there are fewer samples than parts.
    """
    start, end = (samples[0].second, samples[-1].second) if samples else (0., 0.)
    kept = [sample for sample in samples if sample.second >= start + WARM_UP * (end - start)]
    if len(kept) < PARTS:
        return {}
    parts = np.array_split(np.array([[sample.second, sample.memory, sample.children, sample.files, sample.threads]
                                     for sample in kept]), PARTS)
    seconds, *curves = np.array([np.median(part, 0) for part in parts]).T
    verdicts = {}
    for name, curve in zip(('memory', 'children', 'files', 'threads'), curves):
        _, _, low, high = HALF_HOUR * np.array(stats.theilslopes(curve, seconds, CONFIDENCE))
        allowed = GROWTH * curve[0] if name in ('memory', 'children') else 1.
        verdicts[name] = Verdict(low, high, 'flat' if high <= allowed else 'grew' if low > allowed else 'uncertain')
    return verdicts


def write_pairs(folder: Path, count: int) -> None:
    """Two folders ``A`` and ``B`` of so many pairs, of which most are links to twelve, in two formats and sizes."""
    draw = np.random.default_rng(0)
    own = 12
    for name in ('A', 'B'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(own):
        side = SIDE * (1 + number % 2)
        a = np.kron(draw.integers(40, 200, (side // 8, side // 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
        b = a.copy()
        b[16:48, 16:64] = 230
        for name, image in (('A', a), ('B', b)):
            Image.fromarray(image).save(folder / name / f'{number:05}{(".png", ".tif")[number % 2]}')
    for number in range(own, count):
        suffix = ('.png', '.tif')[number % own % 2]
        for name in ('A', 'B'):
            link = folder / name / f'{number:05}{suffix}'
            if not link.is_symlink():
                link.symlink_to(f'{number % own:05}{suffix}')


def soak_prediction(folder: Path, checkpoint: Path, pairs: int, seconds: float) -> Soak:
    """Predict pairs one after the other for so long.

    Args:
        folder: For pairs, results and the log.
        checkpoint: The model.
        pairs: How many there are at most.
        seconds: Of work, after which it gets SIGTERM.
    """
    write_pairs(folder / 'pairs', pairs)
    shutil.rmtree(folder / 'changes', ignore_errors=True)  # of an earlier run, whose results would pass for these
    command = [sys.executable, '-m', 'mamba_cd_plugin', 'predict', str(folder / 'pairs/A'), str(folder / 'pairs/B'),
               '--checkpoint', str(checkpoint), '--out', str(folder / 'changes'), '--tile', '128', '--overlap', '32',
               '--fresh']
    samples, status = watch(command, seconds, folder / 'predict.log',
                            lambda: any((folder / 'changes').glob('*_summary.json')))
    done = len(list((folder / 'changes').glob('*_summary.json')))
    return Soak('prediction', samples, status, f'{done} pairs')


def soak_training(folder: Path, command: Sequence[str], seconds: float) -> Soak:
    """Train for so long, with a validation after each epoch.

    Args:
        folder: For the log.
        command: The training, without end.
        seconds: Of work, after which it gets SIGTERM.
    """
    log = folder / 'train.log'
    samples, status = watch(command, seconds, log, lambda: 'Epoch(val)' in log.read_text(errors='replace'))
    text = (folder / 'train.log').read_text(errors='replace')
    epochs = set(re.findall(r'Epoch\(val\) \[(\d+)\]', text))
    return Soak('training', samples, status, f'{len(epochs)} epochs with validation')


def draw(soaks: Sequence[Soak], path: Path) -> None:
    """A plot of memory, open files and threads over time, one column per run."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(5 * len(soaks), 6), layout='constrained')
    axes = figure.subplots(3, len(soaks), sharex='col', squeeze=False)
    for column, soak in zip(axes.T, soaks):
        minutes = [sample.second / 60 for sample in soak.samples]
        column[0].plot(minutes, [sample.memory / 2**20 for sample in soak.samples], label='process')
        if any(sample.children for sample in soak.samples):
            column[0].plot(minutes, [sample.children / 2**20 for sample in soak.samples], label='data workers')
            column[0].legend()
        column[1].plot(minutes, [sample.files for sample in soak.samples])
        column[2].plot(minutes, [sample.threads for sample in soak.samples])
        for axis, label in zip(column, ('resident memory (MiB)', 'open files', 'threads')):
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
        column[0].set_title(f'{soak.name}: {soak.done}')
        column[-1].set_xlabel('minutes')
    with whole_file(path) as part:
        figure.savefig(part, dpi=90)
