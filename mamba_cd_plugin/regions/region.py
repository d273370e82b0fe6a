"""From the arguments of ``mamba-cd mosaic`` to a plan and its blocks."""
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..inference.pairs import ReadOptions, Window
from ..inference.raster_pair import RasterImage
from ..inference.windows import PredictOptions
from ..io.files import OutputFolder, whole_file
from ..io.grids import describe_crs, describe_oblong, ground_size
from ..io.radiometry import Stretch, check_value_range
from .alignment import Move, as_move
from .blocks import worker_model
from .clouds import CloudOptions, cloud_options
from .engine import Outcome
from .finish import SUMMARY, FinishOptions, RegionFacts, finish
from .grid import BLOCKS, GRID, LOGS, MANIFEST, RegionGrid, block_folder, block_name
from .headers import common_type
from .job import PROBABILITIES, BlockTask, Job, block_digest, is_done, open_pair, windows_of
from .mosaic import GridTarget, MosaicPair, openable
from .pictures import RegionPictures
from .plan import Plan, make_plan
from .shift import measure_places, sum_up_places
from .sources import DateSources, find_rasters, shared_rasters

PICTURE = 'plan.png'
# What fits into the memory differs from machine to machine, and the last bit with it. Blocks predict whole batches, so
# large ones mean that much is predicted twice; four windows of 512 px are a third of a block of 4096.
CPU_BATCH, GPU_BATCH = 1, 4
# Bytes a pixel: a mask of scattered buildings compresses to a fiftieth, a probability hardly, see docs/regions.md.
EXPECTED_BYTES = dict(none=0.03, uint8=0.5, float32=3.)
BYTES_OF_EMPTY_BLOCK = 20_000  # headers and manifest: 19 kB in a county of blocks of 128 px


class RegionOptions(NamedTuple):
    """The options of ``mamba-cd mosaic``, under the same names.

    Attributes:
        before, after: Inputs of the two dates, see :func:`~.sources.find_rasters`.
        out: Output folder.
        checkpoint, config, device: The model.
        order, asset: See :func:`~.sources.find_rasters`.
        block, crs, resolution, aoi: See :func:`~.plan.make_plan`.
        probability: 'none', 'uint8' or 'float32'.
        align: Whether B is moved by the shift that is measured, see :mod:`.alignment`.
        cloud_band, cloud_band_b, cloud_asset, cloud_values: See :func:`~.clouds.cloud_options`.
        threads: Threads of each worker on a CPU.
    """
    before: Sequence[str]
    after: Sequence[str]
    out: str
    checkpoint: str
    config: str | None = None
    device: str | None = None
    order: str = 'first'
    asset: str | None = None
    block: int = 4096
    crs: str | None = None
    resolution: float | None = None
    aoi: str | None = None
    probability: str = 'none'
    align: bool = False
    cloud_band: int | None = None
    cloud_band_b: int | None = None
    cloud_asset: str | None = None
    cloud_values: Sequence[float] | None = None
    threads: int | None = None


class Region(NamedTuple):
    """A planned region.

    Attributes:
        plan: Grid, rasters and blocks.
        job: Settings that all blocks share.
        sources: Rasters of both dates, with those that cannot be used.
        shared: Paths of the rasters that stand for both dates.
        tasks: All blocks.
        missing: Blocks that are not finished, or were made from other inputs.
    """
    plan: Plan
    job: Job
    sources: tuple[DateSources, DateSources]
    shared: list[str]
    tasks: list[BlockTask]
    missing: list[BlockTask]

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return Path(self.job.out)


def open_region(options: RegionOptions, reading: ReadOptions, running: PredictOptions,
                model_device: str | None) -> Region:
    """Find the rasters, make the plan, and see which blocks are missing.

    Args:
        options: Options of the user.
        reading: How rasters are read.
        running: How the model runs.
        model_device: Device on which this process loads the model; its hash tells which blocks are missing.

    Raises:
        ValueError, OSError, ImportError: If anything is wrong; the message says what.
    """
    if options.probability not in PROBABILITIES:
        raise ValueError(f'probability: expected one of {", ".join(PROBABILITIES)}, got {options.probability!r}')
    check_value_range(reading.value_range)
    if options.aoi is not None and not Path(options.aoi).is_file():
        raise FileNotFoundError(f'--aoi {options.aoi}: does not exist')
    model = worker_model(options.checkpoint, options.config, model_device)
    running = running.fitted_to(model)
    clouds = cloud_options(options.cloud_band, options.cloud_band_b, options.cloud_asset, options.cloud_values)
    sources = (find_rasters('before', options.before, options.order, options.asset, reading.bands, clouds[0]),
               find_rasters('after', options.after, options.order, options.asset, reading.bands_b or reading.bands,
                            clouds[1]))
    shared = shared_rasters(*sources)
    plan = make_plan(sources[0].rasters, sources[1].rasters, options.block, options.crs, options.resolution,
                     None if options.aoi is None else Path(options.aoi))
    if running.batch_size is None:
        on_gpu = (options.device or model_device or '').startswith('cuda')
        running = running._replace(batch_size=GPU_BATCH if on_gpu else CPU_BATCH)
    job = Job(str(Path(options.out).resolve()), plan.grid, options.checkpoint, options.config, options.device,
              model.identity, model.align, running, reading, _find_stretches(plan, reading, clouds),
              options.probability, clouds, options.align, options.threads)
    tasks = list(make_tasks(plan, job))
    out = Path(options.out)
    _check_grid(out, plan.grid)
    return Region(plan, job, sources, shared, tasks, [task for task in tasks if not is_done(out, task)])


def _find_stretches(plan: Plan, reading: ReadOptions,
                    clouds: Sequence[CloudOptions | None]) -> tuple[Any, Any]:
    """The stretch to 8 bits of each date: one for the whole region, as for a single pair."""
    types = {common_type(label, date.rasters) for label, date in (('before', plan.a), ('after', plan.b))}
    if reading.value_range is None and types == {'uint8'}:
        return None, None
    with MosaicPair(plan.grid, plan.a.placed(), plan.b.placed(), reading, clouds=clouds) as pair:
        a, b = (None if stretch is None else (stretch.low.tolist(), stretch.high.tolist())
                for stretch in pair.stretches)
    return a, b


def make_tasks(plan: Plan, job: Job) -> list[BlockTask]:
    """The tasks of all blocks of a plan, in order."""
    windows, common = windows_of(job), job.digest()
    placed_a, placed_b = plan.a.placed(), plan.b.placed()
    tasks = []
    for one in plan.block_plans(windows, job.move_b):
        block = plan.grid.window(one.row, one.column)
        area, around_a, around_b = one.around or ((), [], [])
        a, b, near_a, near_b = (tuple(placed[number] for number in numbers) for placed, numbers in (
            (placed_a, one.a), (placed_b, one.b), (placed_a, around_a), (placed_b, around_b)))
        states = {date.rasters[number].path: date.rasters[number].state
                  for date, numbers in ((plan.a, one.a + around_a), (plan.b, one.b + around_b)) for number in numbers}
        inside = None if one.inside is None else one.inside.wkb
        digest = block_digest(common, windows, block, a, b, states, inside, (area, near_a, near_b))
        tasks.append(BlockTask(one.row, one.column, digest, a, b, states, inside, (near_a, near_b)))
    return tasks


def _check_grid(out: Path, grid: RegionGrid) -> None:
    """Refuse to mix the blocks of two grids."""
    there = RegionGrid.load(out)
    if there is None or not any((out / BLOCKS).glob(f'*/{MANIFEST}')):
        return
    for what, old, new in (('CRS', there.crs, grid.crs), ('origin or pixel size', there.transform, grid.transform),
                           ('size of blocks', there.block, grid.block)):
        if old != new:
            shown = '' if what == 'CRS' else f' ({old} there, {new} now)'
            raise ValueError(f'--out {out}: holds the blocks of another grid, with another {what}{shown}. Choose '
                             'another --out, or delete that one')


def prepare_folder(region: Region, options: RegionOptions, only_plan: bool = False) -> None:
    """Claim the folder of the results, and write the grid; of a dry run, claim the picture of the plan.

    Raises:
        FileExistsError, ValueError, OSError: If the folder holds files of others, is one of the data's, or cannot be
            written to.
    """
    folders = [one for one in (*options.before, *options.after) if Path(one).is_dir()]
    outputs = OutputFolder(region.out, folders, '--out')
    if only_plan:
        outputs.claim([PICTURE])
        return
    outputs.claim([GRID, BLOCKS, LOGS, SUMMARY])
    region.plan.grid.save(region.out)


def describe_plan(region: Region) -> list[str]:
    """The plan in words: blocks, pixels, gaps, rasters that are left out, notes on the images."""
    plan, grid = region.plan, region.plan.grid
    size, sides = abs(grid.affine.determinant)**0.5, ground_size(GridTarget.of(grid))
    ground = '' if sides is None else f' ({sides[0]:.3g} x {sides[1]:.3g} m on the ground)'
    warped = [int((~date.direct).sum()) for date in (plan.a, plan.b)]
    lines = [f'grid: {grid.height:,} x {grid.width:,} px of {size:.6g} in {describe_crs(grid.rasterio_crs)}{ground}, '
             f'in {grid.shape[0]:,} x {grid.shape[1]:,} blocks of {grid.block:,} px',
             *(f'{label}: {len(date.rasters):,} rasters on it, {count:,} of them warped'
               for label, date, count in zip(('before', 'after'), (plan.a, plan.b), warped)),
             f'blocks: {len(plan.blocks):,} to predict with {plan.pixels():,} px; '
             f'{len(region.tasks) - len(region.missing):,} of them are there']
    lines += [f'gap: {len(blocks):,} blocks have {reason}: {_few(blocks)}' for reason, blocks in plan.gaps.items()]
    for label, source in zip(('before', 'after'), region.sources):
        lines += [f'{label}: {one.path} is left out: {one.reason}' for one in source.unusable]
    if region.shared:
        lines.append(f'{len(region.shared):,} rasters stand for both dates, such as {region.shared[0]}: they show no '
                     'change')
    oblong = describe_oblong(GridTarget.of(grid))
    return lines + ([f'grid: {oblong}, or --crs here'] if oblong else []) + _notes(region)


def _notes(region: Region) -> list[str]:
    """Notes on the first raster of each date; the others are assumed to be alike."""
    lines = []
    for label, date, bands, mask in (
            ('A', region.plan.a, region.job.reading.bands, region.job.clouds[0]),
            ('B', region.plan.b, region.job.reading.bands_b or region.job.reading.bands, region.job.clouds[1])):
        path = date.rasters[0].path
        cloud_band = None if mask is None else mask.image_band
        with ExitStack() as stack:
            try:
                image = RasterImage(label, openable(path), bands, region.job.reading.nodata, stack,
                                    cloud_band=cloud_band)
            except (ValueError, OSError) as error:  # a damaged file; its blocks will say so
                lines.append(f'{label}: {error}')
                continue
            lines += [f'{label}, {Path(path).name}: {note}' for note in image.notes]
    for label, stretch in zip('AB', region.job.stretches):
        if stretch is not None:
            lines.append(f'{label}: values are stretched to 8 bits: {Stretch(*map(np.array, stretch))}')
    return lines


def _few(blocks: np.ndarray) -> str:
    names = [block_name(*block) for block in blocks[:8].tolist()]
    return ', '.join(names) + (' ...' if len(blocks) > len(names) else '')


def threads_of_each(workers: int) -> int:
    """Threads of each of several processes on this machine."""
    return max(1, torch.get_num_threads() // workers)


def describe_cost(region: Region, workers: int) -> list[str]:
    """Time and space that the missing blocks will take, from one window that is predicted here."""
    options, job = region.job.options, region.job
    model = worker_model(job.checkpoint, job.config, job.device)
    count = region.plan.windows(windows_of(region.job))
    share = len(region.missing) / max(len(region.tasks), 1)
    batch = np.random.default_rng(0).integers(0, 256, (options.batch_size, options.tile, options.tile, 6), np.uint8)
    with model.workers(options.tile):
        model.predict(batch, options.tta)  # the first one also sets up the libraries
        begun = time.monotonic()
        model.predict(batch, options.tta)
        seconds = (time.monotonic() - begun) / options.batch_size
    hours = count * share * seconds / workers / 3600
    space = share * (region.plan.pixels() * EXPECTED_BYTES[job.probability] +
                     len(region.tasks) * BYTES_OF_EMPTY_BLOCK)
    return [f'windows: {count:,} of {options.tile} px, {seconds:.3g} s each here; the missing blocks take about '
            f'{hours:,.2f} h with {workers} of these, without reading'
            f'{" and without measuring shifts" if job.move_b else ""}',
            f'space: about {f"{space / 1e6:,.0f} MB" if space > 1e7 else f"{space / 1e3:,.0f} kB"}']


def draw_plan(region: Region, path: Path) -> None:
    """Draw the blocks of a plan, the outlines of the rasters and the area of interest.

    Raises:
        OSError: If the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    plan, grid = region.plan, region.plan.grid
    picture = np.full((*grid.shape, 3), 255, np.uint8)
    colours = {'there': (166, 206, 160), 'to predict': (158, 190, 230), 'gap': (200, 200, 200)}
    missing = {(task.row, task.column) for task in region.missing}
    for row, column in plan.blocks.tolist():
        picture[row, column] = colours['to predict' if (row, column) in missing else 'there']
    for blocks in plan.gaps.values():
        picture[blocks[:, 0], blocks[:, 1]] = colours['gap']
    figure = Figure(figsize=(10, 10 * np.clip(grid.height / grid.width, 0.2, 5)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows, columns = (count * grid.block for count in grid.shape)
    axes.imshow(picture, extent=(0, columns, rows, 0), interpolation='nearest')
    for date, colour, style in ((plan.a, '#0b5394', '-'), (plan.b, '#b45f06', '--')):
        rings = [np.asarray(outline.exterior.coords) for outline in date.outlines]
        axes.add_collection(PolyCollection(rings, facecolors='none', edgecolors=colour, linestyles=style,
                                           linewidths=0.7))
    if plan.aoi is not None:
        for part in getattr(plan.aoi, 'geoms', [plan.aoi]):
            if part.geom_type == 'Polygon':
                axes.plot(*np.asarray(part.exterior.coords).T, color='black', linewidth=1.2)
    axes.set(xlim=(0, columns), ylim=(rows, 0), xlabel='column, px', ylabel='row, px',
             title='blocks: blue to predict, green there, grey gap; outlines: solid before, dashed after, black area')
    with whole_file(path) as part:
        figure.savefig(part, dpi=100)


def finish_region(region: Region, outcome: Outcome, options: FinishOptions, weights: str = '') -> dict:
    """Make the files of the region from the blocks that are there, see :func:`~.finish.finish`.

    Args:
        region: The region.
        outcome: Result of the run, with the failed blocks.
        options: Which files.
        weights: Name of the weights, as the user gave it.

    Returns:
        The summary.
    """
    tasks = {(task.row, task.column): task for task in region.tasks}
    finished = [block for block, task in tasks.items() if is_done(region.out, task)]
    dates = [sorted(datetime.fromisoformat(raster.date) for raster in date.rasters if raster.date)
             for date in (region.plan.a, region.plan.b)]
    job = region.job

    def open_block(block: tuple[int, int]) -> MosaicPair:
        move = None
        if job.move_b:  # for a picture of it, one shift of the whole block will do
            manifest = json.loads((block_folder(region.out, *block) / MANIFEST).read_text('utf-8'))
            shift = as_move(manifest['shift']['median'])

            def move(window: Window) -> Move:
                return shift

        return open_pair(job, tasks[block].a, tasks[block].b, move)

    facts = RegionFacts(
        sorted(tasks), finished, outcome.failed,
        {reason: [(row, column) for row, column in blocks.tolist()] for reason, blocks in region.plan.gaps.items()},
        [one._asdict() for source in region.sources for one in source.unusable],
        (dates[0][0], dates[1][-1]) if all(dates) else None, weights,
        lambda: sum_up_places(measure_places(job, region.tasks)))
    return finish(region.out, options, facts, lambda: RegionPictures(job.grid, finished, open_block))
