"""The inputs of a block: settings that all blocks share, its own rasters, and the hash of both."""
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..inference.pairs import PairTile, ReadOptions, Window
from ..inference.windows import PredictOptions, WindowGrid
from ..io.radiometry import Stretch
from .alignment import ShiftField, measure_field
from .clouds import CloudOptions
from .grid import MANIFEST, RegionGrid, block_folder
from .mosaic import NO_CLOUDS, MosaicPair, PlacedRaster
from .windows import BlockWindows

# Part of the hash of a block; another number where the same inputs give other files.
LAYOUT = 2
PROBABILITIES = ('none', 'uint8', 'float32')


@dataclass(frozen=True)
class Job:
    """Settings that all blocks share; sent to every worker.

    Attributes:
        out: The folder of the results, which every worker can write to.
        grid: Grid of the region.
        checkpoint: Weights, which every worker can read.
        config: A config where the checkpoint has none.
        device: Device of the workers; None for the best available.
        model: The identity of the model; a worker with another refuses to work.
        align: Windows start at multiples of this number of pixels.
        options: How the model runs, fitted to the model, with a batch size.
        reading: How the rasters are read.
        stretches: Low and high values of A and of B, or None, see :class:`~..io.radiometry.Stretch`.
        probability: 'none', 'uint8' or 'float32'.
        clouds: Cloud masks of A and of B; None for a date without.
        move_b: Whether B is moved by the shift that is measured, see :mod:`.alignment`.
        threads: Threads of a worker on a CPU; None for all cores that prediction can use.
    """
    out: str
    grid: RegionGrid
    checkpoint: str
    config: str | None
    device: str | None
    model: str
    align: int
    options: PredictOptions
    reading: ReadOptions
    stretches: tuple[Any, Any]
    probability: str
    clouds: tuple[CloudOptions | None, CloudOptions | None] = NO_CLOUDS
    move_b: bool = False
    threads: int | None = None

    def identity(self) -> dict:
        """The settings that the content of a block depends on; not those of the machine that makes it."""
        return dict(layout=LAYOUT, crs=self.grid.crs, transform=self.grid.transform, model=self.model,
                    options=self.options._asdict(), reading=self.reading._asdict(), stretches=self.stretches,
                    probability=self.probability, clouds=self.clouds, move_b=self.move_b)

    def digest(self) -> str:
        """The hash of :meth:`identity`."""
        return sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class BlockTask:
    """One block.

    Attributes:
        row, column: Position of the block in the grid of blocks.
        digest: Hash of everything that its content depends on.
        a, b: The rasters that it reads, in the order in which they count.
        states: State of each of these rasters by its path, for the manifest.
        inside: The part of it, as WKB in pixels of the grid, that belongs to the area of interest; None: all.
        around: With ``move_b``, the rasters of A and of B from which the shift is measured.
    """
    row: int
    column: int
    digest: str
    a: tuple[PlacedRaster, ...]
    b: tuple[PlacedRaster, ...]
    states: dict[str, str]
    inside: bytes | None
    around: tuple[tuple[PlacedRaster, ...], tuple[PlacedRaster, ...]] = ((), ())


def block_digest(job: str, windows: BlockWindows, block: Window, a: Sequence[PlacedRaster], b: Sequence[PlacedRaster],
                 states: dict[str, str], inside: bytes | None, measured: Sequence[Any] = ()) -> str:
    """The hash of everything that the content of a block depends on.

    Args:
        job: Result of :meth:`Job.digest`.
        windows: Windows of the region.
        block: The pixels of the block.
        a, b, states, inside: See :class:`BlockTask`.
        measured: Pixels and rasters from which the shift is measured.
    """
    grid = windows.grid
    content = [job, block, [grid.rows[row] for row in windows.rows(block.rows)],
               [[grid.columns[column] for column in group] for group in windows.groups(block.columns)], a, b,
               sorted(states.items()), None if inside is None else sha256(inside).hexdigest(), measured]
    return sha256(json.dumps(content).encode()).hexdigest()


def is_done(out: Path, task: BlockTask) -> bool:
    """Whether a block is there, made from just what it would be made from now."""
    folder = block_folder(out, task.row, task.column)
    try:
        manifest = json.loads((folder / MANIFEST).read_text('utf-8'))
        return manifest['digest'] == task.digest and all(
            (folder / name).stat().st_size == size for name, size in manifest['files'].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@lru_cache(maxsize=1)
def region_windows(height: int, width: int, tile: int, overlap: int, align: int, batch_size: int) -> BlockWindows:
    """The windows of a region; a worker asks for the same ones with every block."""
    return BlockWindows(WindowGrid(height, width, tile, overlap, align), batch_size)


def windows_of(job: Job) -> BlockWindows:
    """The windows of a job."""
    options = job.options
    return region_windows(job.grid.height, job.grid.width, options.tile, options.overlap, job.align,
                          options.batch_size or 1)


def as_stretches(values: Sequence[Any]) -> list[Stretch | None]:
    """The stretches of A and of B from what a job holds of them."""
    return [None if pair is None else Stretch(*(np.array(limit, np.float32) for limit in pair)) for pair in values]


def open_pair(job: Job, a: Sequence[PlacedRaster], b: Sequence[PlacedRaster],
              move: Callable[[Window], tuple[float, float]] | None = None) -> MosaicPair:
    """Rasters of both dates as a job reads them; see :class:`~.mosaic.MosaicPair`."""
    return MosaicPair(job.grid, a, b, job.reading, as_stretches(job.stretches), job.clouds, move)


def measure_task(job: Job, task: BlockTask) -> ShiftField:
    """The shift of B in all windows of a block; cells with a damaged local file count as without data.

    Raises:
        OSError, ValueError: If a raster cannot be read.
    """

    def read(cell: Window) -> PairTile | None:
        a, b = ([raster for raster in rasters if _share_pixels(raster.window, cell)] for rasters in task.around)
        if not a or not b:
            return None
        try:
            with open_pair(job, a, b) as pair:
                return pair.read(cell)
        except ValueError:
            # A damaged file spoils the blocks that it lies in, not those around them. One elsewhere may be whole at the
            # next attempt, and the shift would depend on it.
            if any(raster.path.startswith('/vsi') for raster in (*a, *b)):
                raise
            return None

    return measure_field(job.grid, windows_of(job).halo(job.grid.window(task.row, task.column)), read)


def _share_pixels(one: Window, other: Window) -> bool:
    return all(mine.start < its.stop and its.start < mine.stop for mine, its in zip(one, other))
