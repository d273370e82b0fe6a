"""A run of prediction: where its finished strips are kept, in memory or in files that survive a kill, and what
identifies it, so that it resumes and is not repeated."""
import json
import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..io.files import place_error, whole_file

NODATA = 255
# A probability of 8 bits: 0..254 mean 0..1, so that 255 is left for nodata.
PROBABILITY_STEPS = 254
# What finishing writes besides the strips: overview, polygons, headers; compressed, they are far smaller than the
# strips.
RESERVE_BYTES = 32 << 20


class Strip(NamedTuple):
    """Finished rows of the result.

    Attributes:
        probability: float32 (h, W).
        mask: 0 unchanged, 1 changed, NODATA, uint8 (h, W).
    """
    probability: np.ndarray
    mask: np.ndarray


class StripSink(ABC):
    """Takes the strips of a result from top to bottom.

    Attributes:
        next_row: The row of windows to resume with.
        carry: Weighted sums that the rows before contribute to the next; None at the start.
        batch_size: Batch size; a resumed run keeps it, since it can change the last bit of a probability.
    """

    next_row: int = 0
    carry: np.ndarray | None = None
    batch_size: int | None = None

    @abstractmethod
    def append(self, strip: Strip, carry: np.ndarray) -> None:
        """Store one strip, and what is carried to the next."""


class MemorySink(StripSink):
    """Keeps the result in memory."""

    def __init__(self) -> None:
        self.strips: list[Strip] = []

    def append(self, strip: Strip, carry: np.ndarray) -> None:
        """Store one strip."""
        self.strips.append(strip)

    def result(self) -> Strip:
        """The whole result."""
        return Strip(*(np.concatenate(parts) for parts in zip(*self.strips)))


class Spool(StripSink):
    """Keeps the result in raw files of a folder, from which a killed run resumes and ends with the same bytes.

    ::

        mask.raw, probability.raw   rows 0 .. rows_done, uint8 and uint8 or float32
        carry_<row>.npy             what the rows of windows above add to the next
        state.json                  replaced last: whatever is beyond it does not count

    Args:
        folder: Made if missing, in a folder that exists.
        shape: (H, W) of the result.
        dtype: Type of the stored probability: 'uint8' (see PROBABILITY_STEPS) or 'float32'.
        job: Identity of the run; JSON-serialisable. A folder of another job is emptied.

    Raises:
        OSError: If the folder cannot be written, or its disk has too little space.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], dtype: str, job: Any) -> None:
        self.folder, self.shape, self.dtype, self.job = folder, shape, np.dtype(dtype), json.loads(json.dumps(job))
        self.rows_done = 0
        resumed = self._load()
        self._check_space()
        if not resumed:
            shutil.rmtree(folder, ignore_errors=True)
            make_folder(folder)

    def _load(self) -> bool:
        try:
            state = json.loads((self.folder / 'state.json').read_text('utf-8'))
            if state['job'] != self.job:
                return False
            self.carry = np.load(self.folder / f'carry_{state["next_row"]}.npy', allow_pickle=False)
        except (OSError, ValueError, KeyError):  # nothing there, or killed before the first strip
            return False
        self.next_row, self.rows_done, self.batch_size = (state[key] for key in ('next_row', 'rows_done', 'batch_size'))
        return True

    def _check_space(self) -> None:
        pixels = (self.shape[0] - self.rows_done) * self.shape[1]
        # Each raw file and its final copy; a mask takes little of that, an incompressible probability all of it.
        needed = pixels * (1 + 2 * self.dtype.itemsize) + RESERVE_BYTES
        free = shutil.disk_usage(self.folder.parent).free
        if free < needed:
            raise OSError(f'{self.folder.parent}: the disk has {free / 1e6:,.0f} MB free, and the prediction needs '
                          f'up to {needed / 1e6:,.0f} MB while it runs. Free some, or choose another --out')

    @property
    def files(self) -> dict[str, Path]:
        """The raw files by what they hold."""
        return {name: self.folder / f'{name}.raw' for name in ('probability', 'mask')}

    def append(self, strip: Strip, carry: np.ndarray) -> None:
        """Store one strip for good: after this it survives a kill.

        Raises:
            OSError: If the disk is full.
        """
        try:
            self._append(strip, carry)
        except OSError as error:
            raise OSError(f'{self.folder}: writing failed, {place_error(error, self.folder)}. Free some space and '
                          f'start the same command again: it resumes at row {self.rows_done:,} of '
                          f'{self.shape[0]:,}') from error

    def _append(self, strip: Strip, carry: np.ndarray) -> None:
        stored = dict(probability=quantize(strip) if self.dtype == np.uint8 else strip.probability, mask=strip.mask)
        for name, path in self.files.items():
            self._write(path, stored[name])
        rows_done = self.rows_done + len(strip.mask)
        with (self.folder / f'carry_{self.next_row + 1}.npy').open('wb') as file:
            np.save(file, carry)
            _to_disk(file)
        state = dict(job=self.job, next_row=self.next_row + 1, rows_done=rows_done, batch_size=self.batch_size)
        with whole_file(self.folder / 'state.json') as part:
            part.write_text(json.dumps(state, indent=1), 'utf-8')
        (self.folder / f'carry_{self.next_row}.npy').unlink(missing_ok=True)
        self.next_row, self.rows_done, self.carry = self.next_row + 1, rows_done, carry

    def _write(self, path: Path, values: np.ndarray) -> None:
        with path.open('r+b' if path.exists() else 'wb') as file:
            # Not appended: a run that was killed while writing left bytes behind.
            file.seek(self.rows_done * self.shape[1] * values.itemsize)
            file.write(values.tobytes())
            file.truncate()
            _to_disk(file)

    def open(self, name: str) -> np.ndarray:
        """A raw file as a memory-mapped array (H, W)."""
        dtype = self.dtype if name == 'probability' else np.uint8
        return np.memmap(self.files[name], dtype, 'r', shape=self.shape)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)


def quantize(strip: Strip) -> np.ndarray:
    """The probabilities of a strip in 8 bits."""
    steps = (np.nan_to_num(strip.probability) * PROBABILITY_STEPS + 0.5).astype(np.uint8)
    return np.where(strip.mask == NODATA, np.uint8(NODATA), steps)


def make_folder(folder: Path) -> None:
    """Make a folder, and make sure that it can be written to.

    Raises:
        OSError: If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / '.probe'
        probe.write_bytes(b'')
        probe.unlink()
    except OSError as error:
        raise type(error)(f'{folder}: cannot be written to, {place_error(error, folder)}. Choose another '
                          '--out') from error


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def summary_path(out_dir: Path, name: str) -> Path:
    """Path of the summary of a pair. It is written last: if it exists, all results do."""
    return out_dir / f'{name}_summary.json'


def complete_summary(out_dir: Path, name: str, job: Any) -> dict | None:
    """The summary of an earlier run of exactly this job, if all its files still exist."""
    summary = read_pair_summary(out_dir, name)
    same = summary is not None and summary.get('job') == json.loads(json.dumps(job))
    return summary if same and all((out_dir / file).is_file() for file in summary['files']) else None


def read_pair_summary(out_dir: Path, name: str) -> dict | None:
    """The summary of an earlier run of any job; None if there is none that can be read."""
    try:
        summary = json.loads(summary_path(out_dir, name).read_text('utf-8'))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and 'files' in summary else None
