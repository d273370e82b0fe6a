"""A training that is stopped again and again: does it resume, what does it lose, and does it end the same."""
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..engine.checkpoint import load_safely
from ..engine.recovery import newest_checkpoint
from ..io.files import StrPath

CONFIG = 'cdmamba_v8_small_synthetic'
EPOCHS, STEPS = 10, 3
# A model that trains a step in a fraction of a second, with all that draws numbers or remembers something.
SETTINGS = (
    'model.backbone.arch=toy', 'model.neck.in_channels=[16,32,64,128]', 'model.decode_head.in_channels=[16,32,64,128]',
    'model.decode_head.dropout_ratio=0.1', f'train_cfg.max_epochs={EPOCHS}', 'train_cfg.val_interval=1',
    'train_dataloader.batch_size=2', 'train_dataloader.num_workers=2', 'val_dataloader.num_workers=1',
    'param_scheduler.0.end=10', f'param_scheduler.1.T_max={EPOCHS}', 'default_hooks.logger.interval=1')
# What a stop waits for. The parts of a file that is being written have these names.
PLACES = ('any moment', 'writing a checkpoint', 'writing the best', 'a validation')
PARTS = {'writing a checkpoint': '.epoch_*.part*', 'writing the best': '.best_*.part*'}
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 1}
PATIENCE = 120.  # seconds; a start of the stack on a busy machine takes a good part of them


@dataclass
class Stop:
    """One stop of a training.

    Attributes:
        number: The signal.
        place: Moment that it was aimed at.
        status: Exit status.
        seconds: Time from the signal to the end.
        reached: Iterations that had been logged.
        resumed: Iteration from which the run went on.
        last_words: Last line of its output.
        traceback: Whether it showed one.
    """
    number: int
    place: str
    status: int
    seconds: float
    reached: int
    resumed: int = -1
    last_words: str = ''
    traceback: bool = False

    @property
    def lost(self) -> int:
        """Iterations that had to be repeated."""
        return self.reached - self.resumed


class StoppedTraining:
    """A toy training in a folder, started as users start theirs.

    Args:
        data: Folder of LEVIR layout, with six pairs to train on.
        work_dir: Work dir of the training.
        options: Further ``--cfg-options``.
    """

    def __init__(self, data: StrPath, work_dir: StrPath, options: Sequence[str] = ()) -> None:
        self.work_dir = Path(work_dir)
        self.log = self.work_dir.with_name(f'{self.work_dir.name}.log')
        self.command = [sys.executable, '-m', 'mamba_cd_plugin', 'train', CONFIG, '--work-dir', str(work_dir),
                        '--resume', '--cfg-options', f'data_root={data}', *SETTINGS, *options]

    def start(self) -> subprocess.Popen:
        """Begin, or go on."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open('w') as log:
            return subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def finish(self) -> tuple[int, str]:
        """Let it run to its end: exit status and output."""
        return self.start().wait(), self.log.read_text(errors='replace')

    def stop(self, number: int, place: str, draw: random.Random) -> Stop | None:
        """Start it and stop it once; None where it was over before."""
        process = self.start()
        try:
            if not self._wait(process, self._has_trained):
                return None
            before = newest_checkpoint(self.work_dir)
            if place in PARTS:
                self._wait(process, lambda: any(self.work_dir.glob(PARTS[place])), pause=0.)
            elif place == 'a validation':  # right after the checkpoint of an epoch has appeared
                self._wait(process, lambda: newest_checkpoint(self.work_dir) != before, pause=0.)
                time.sleep(draw.uniform(0., 0.1))
            else:
                time.sleep(draw.uniform(0., 4.))
            if process.poll() is not None:
                return None
            start = time.monotonic()
            process.send_signal(number)
            status = process.wait(PATIENCE)
            seconds = time.monotonic() - start
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        text = self.log.read_text(errors='replace')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return Stop(number, place, status, seconds, self.iterations(), last_words=lines[-1] if lines else '',
                    traceback='Traceback' in text)

    def iterations(self) -> int:
        """The last iteration that was logged, over all starts."""
        lines = [json.loads(line) for file in sorted(self.work_dir.glob('*/vis_data/scalars.json'))[-1:]
                 for line in file.read_text().splitlines() if line.endswith('}')]
        return max((line['iter'] for line in lines if 'iter' in line), default=0)

    def newest_iteration(self) -> int:
        """The iteration of the newest checkpoint; 0 where there is none."""
        newest = newest_checkpoint(self.work_dir)
        return 0 if newest is None else load_safely(str(newest), 'cpu')['meta']['iter']

    def _has_trained(self) -> bool:
        return 'Epoch(train)' in self.log.read_text(errors='replace')

    @staticmethod
    def _wait(process: subprocess.Popen, until: Callable[[], bool], pause: float = 0.05) -> bool:
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            if until():
                return True
            time.sleep(pause)
        return False


def end_state(work_dir: Path) -> dict[str, Any]:
    """The final state of a training: weights, optimizer, schedule, and the record of its validations."""
    newest = load_safely(str(newest_checkpoint(work_dir)), 'cpu')
    best = load_safely(str(work_dir / 'best_changed_F1.pth'), 'cpu')
    info = newest['message_hub']['runtime_info']
    return dict(weights=newest['state_dict'], optimizer=newest['optimizer'], best_weights=best['state_dict'],
                schedules=[{key: value for key, value in each.items() if key != '_global_step'}
                           for each in newest['param_schedulers']],
                at=(newest['meta']['epoch'], newest['meta']['iter'], best['meta']['epoch']),
                known=[info.get(key) for key in ('best_score', 'early_stopping', 'collapsed_in_a_row')])


def first_difference(first: Any, second: Any, where: str = '') -> str:
    """Where two states differ in a single bit; '' where they do not."""
    if isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            return f'{where}: other keys'
        return next(filter(None, (first_difference(first[key], second[key], f'{where}/{key}') for key in first)), '')
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)) and len(first) == len(second):
        pairs = enumerate(zip(first, second))
        return next(filter(None, (first_difference(*pair, f'{where}/{index}') for index, pair in pairs)), '')
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return '' if torch.equal(first, second) else where
    return '' if first == second else f'{where}: {first} and {second}'


def stop_often(data: StrPath, folder: Path, stops: int, seed: int = 0,
               signals: Sequence[int] = (signal.SIGKILL, )) -> tuple[list[Stop], list[str]]:
    """Stop trainings at random until there were so many stops, each finished afterwards and compared.

    Args:
        data: Folder of LEVIR layout, with six pairs to train on.
        folder: Folder for the trainings.
        stops: Number of stops.
        seed: Random seed of the moments.
        signals: Signals that are sent in turn.

    Returns:
        The stops, and per finished training where it differs from one that was left alone, '' for nowhere.

    Raises:
        RuntimeError: If a training fails that was not stopped, or does not resume.
    """
    draw = random.Random(seed)
    alone = StoppedTraining(data, folder / 'alone')
    _must_end_well(alone)
    expected = end_state(alone.work_dir)
    seen: list[Stop] = []
    differences: list[str] = []
    places = [PLACES[index % len(PLACES)] for index in range(stops)]
    draw.shuffle(places)
    while len(seen) < stops:
        training = StoppedTraining(data, folder / f'stopped_{len(differences)}')
        shutil.rmtree(training.work_dir, ignore_errors=True)
        while len(seen) < stops:
            stop = training.stop(signals[len(seen) % len(signals)], places[len(seen)], draw)
            if stop is None:
                break
            stop.resumed = training.newest_iteration()
            seen.append(stop)
        _must_end_well(training)
        differences.append(first_difference(expected, end_state(training.work_dir)))
    return seen, differences


def _must_end_well(training: StoppedTraining) -> None:
    status, text = training.finish()
    if status:
        raise RuntimeError(f'{" ".join(training.command)} ended with the status {status}:\n{text[-2000:]}')


def summarize(seen: list[Stop], differences: list[str]) -> dict[str, Any]:
    """The figures of :func:`stop_often` in a few words."""
    wrong = [stop for stop in seen if stop.status != STATUS[signal.Signals(stop.number)] or (
        stop.traceback and stop.number != signal.SIGKILL)]
    return {
        'stops': len(seen), 'places': ', '.join(f'{place} {sum(stop.place == place for stop in seen)}'
                                                for place in PLACES),
        'trainings': len(differences), 'most iterations lost': max(stop.lost for stop in seen),
        'iterations in an epoch': STEPS, 'slowest end in seconds': round(max(stop.seconds for stop in seen), 2),
        'wrong exit status or a traceback': '; '.join(f'{stop.number}: {stop.status} {stop.last_words}'
                                                      for stop in wrong) or 'none',
        'ended with other bits': '; '.join(filter(None, differences)) or 'none'}
