"""How a block of a region is made, and how its folder comes to be there as a whole."""
import json
import os
import shutil
import socket
import time
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import numpy as np
import rasterio
import shapely
import torch
from mmengine.registry import init_default_scope
from rasterio import features
from rasterio.shutil import copy as copy_raster

from .. import register_all_modules
from ..engine.checkpoint import use_safe_loaders
from ..engine.machine import keep_freed_memory
from ..inference.checkpoints import load_model, read_named_config
from ..inference.job import NODATA, Strip, quantize
from ..inference.models import MAX_WORKERS, TileModel
from ..inference.outputs import COLORMAP, MASK_BAND, PROBABILITY_BAND, probability_encoding
from ..inference.pairs import Window
from ..inference.polygons import PolygonGrid, count_pixels, outline_pixels
from ..io.files import not_written
from ..io.rasters import RASTER_ERRORS, write_band
from ..version import __version__
from .alignment import ShiftField, summarize_moves
from .grid import BLOCKS, LOGS, MANIFEST, MASK, POLYGONS, PROBABILITY, RegionGrid, block_folder, block_name
from .job import BlockTask, Job, is_done, measure_task, open_pair, windows_of
from .windows import predict_block


class Grid(NamedTuple):
    """CRS and transform of a raster file, as ``write_band`` wants them."""
    crs: Any
    transform: rasterio.Affine


@lru_cache(maxsize=1)
def worker_model(checkpoint: str, config: str | None, device: str | None) -> TileModel:
    """The model of this process; loaded once.

    Args:
        checkpoint: Weights.
        config: A config where the checkpoint has none.
        device: Such as 'cpu' or 'cuda:0'; the best there is by default.
    """
    register_all_modules(init_default_scope=False)
    init_default_scope('mmseg')
    use_safe_loaders()
    keep_freed_memory()
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    return load_model(None if config is None else read_named_config(config), checkpoint, device)


def run_block(job: Job, task: BlockTask) -> dict:
    """Make a block, unless it is there. What a worker of any engine does.

    Returns:
        ``row``, ``column``, ``seconds``, ``changed_pixels`` and whether it was ``made`` now.

    Raises:
        OSError, ValueError: If it cannot be made; also stands in the block's log.
    """
    out = Path(job.out)
    log = out / LOGS / f'{block_name(task.row, task.column)}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    report = dict(row=task.row, column=task.column, made=False, seconds=0.)
    if is_done(out, task):
        return report
    who = f'{time.strftime("%Y-%m-%d %H:%M:%S")} {socket.gethostname()} {os.getpid()}'
    _note(log, f'{who} begins')
    try:
        counts = _make(job, task, out)
    except BaseException as error:
        text = ''.join(traceback.format_exception(error)) if isinstance(error, Exception) else f'{error!r}\n'
        _note(log, f'{who} failed after {time.monotonic() - started:.1f} s: {text}')
        raise
    seconds = time.monotonic() - started
    _note(log, f'{who} done after {seconds:.1f} s: {counts}')
    return dict(report, made=True, seconds=seconds, **counts)


def _note(log: Path, line: str) -> None:
    try:
        with log.open('a', encoding='utf-8') as file:
            file.write(f'{line.rstrip()}\n')
    except OSError:  # a full disk; the block itself says so
        pass


def _make(job: Job, task: BlockTask, out: Path) -> dict:
    model = worker_model(job.checkpoint, job.config, job.device)
    if model.identity != job.model:
        raise ValueError(f'{job.checkpoint}: this worker read other weights than the plan was made with. Give all '
                         'machines the same file')
    # Never more than one thread for a window: with several, the last bit may depend on how many there are.
    torch.set_num_threads(min(job.threads or torch.get_num_threads(), MAX_WORKERS))
    window = job.grid.window(task.row, task.column)
    field = measure_task(job, task) if job.move_b else None
    with open_pair(job, task.a, task.b, None if field is None else field.move) as source:
        strip = predict_block(source, model, job.options, windows_of(job), window)
    if task.inside is not None:
        strip = _cut(strip, window, task.inside)
    part = out / BLOCKS / f'.{block_name(task.row, task.column)}.{socket.gethostname()}.{os.getpid()}.part'
    remove_leftovers(out, block_name(task.row, task.column))
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        counts = _write(part, job, task, strip, None if field is None else _describe_moves(job, window, field))
        _put_in_place(part, block_folder(out, task.row, task.column))
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return counts


def _cut(strip: Strip, window: Window, inside: bytes) -> Strip:
    """The result with no data outside of the area of interest; a pixel belongs to it by its middle."""
    shape = shapely.transform(shapely.from_wkb(inside), lambda xy: xy - (window.columns.start, window.rows.start))
    outside = np.ones(window.shape, bool) if shape.is_empty else features.geometry_mask(
        [shape], window.shape, rasterio.Affine.identity())
    return Strip(np.where(outside, np.float32(np.nan), strip.probability),
                 np.where(outside, np.uint8(NODATA), strip.mask))


def remove_leftovers(out: Path, block: str = '*') -> None:
    """Delete what killed processes of this machine left of a block that they were writing.

    Args:
        out: Folder of the region.
        block: Name of the block; of all by default.
    """
    for path in (out / BLOCKS).glob(f'.{block}.{socket.gethostname()}.*'):
        number = path.name.split('.')[-2]
        if number.isdigit() and not _is_alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def _describe_moves(job: Job, block: Window, field: ShiftField) -> dict:
    """For the manifest, how far B was moved for a block."""
    windows = windows_of(job)
    rows, columns = windows.rows(block.rows), [column for group in windows.groups(block.columns) for column in group]
    return summarize_moves(field, [windows.grid.window(row, column) for row in rows for column in columns])._asdict()


def _write(folder: Path, job: Job, task: BlockTask, strip: Strip, moves: dict | None) -> dict:
    grid = Grid(job.grid.rasterio_crs, job.grid.block_affine(task.row, task.column))
    _write_cog(folder / MASK, strip.mask, grid, MASK_BAND, 'mode', nodata=NODATA, colormap=COLORMAP)
    stored = strip.probability if job.probability == 'float32' else quantize(strip)
    if job.probability != 'none':
        _write_cog(folder / PROBABILITY, stored, grid, PROBABILITY_BAND, 'average', **probability_encoding(stored))
    polygons = outline_block(strip.mask, stored, job.grid, task.row, task.column)
    polygons.to_parquet(folder / POLYGONS, compression='zstd')
    counts = np.bincount(strip.mask.ravel(), minlength=256)
    summary = dict(pixels=int(counts[0] + counts[1]), changed_pixels=int(counts[1]),
                   nodata_pixels=int(counts[NODATA]), polygons=len(polygons))
    manifest = dict(
        digest=task.digest, version=__version__, block=[task.row, task.column],
        window=job.grid.window(task.row, task.column), **summary, **({} if moves is None else dict(shift=moves)),
        inputs={label: [dict(path=raster.path, state=task.states[raster.path], window=raster.window,
                             warped=not raster.direct, cloud=raster.cloud) for raster in rasters]
                for label, rasters in (('a', task.a), ('b', task.b))},
        job=job.identity(), files={path.name: path.stat().st_size for path in sorted(folder.iterdir())})
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), 'utf-8')
    return summary


def _write_cog(path: Path, values: np.ndarray, grid: Grid, description: str, overviews: str, **options: Any) -> None:
    """Write a band as cloud-optimised GeoTIFF; GDAL makes one only of another file."""
    plain = path.with_suffix('.plain.tif')
    write_band(plain, values, grid, description, **options)
    predictor = {1: 'NO', 2: 'STANDARD', 3: 'FLOATING_POINT'}[options.get('predictor', 1)]
    try:
        copy_raster(plain, path, driver='COG', compress='DEFLATE', predictor=predictor, overview_resampling=overviews,
                    blocksize=512, bigtiff='IF_SAFER', num_threads=1)
        with rasterio.open(path) as file:  # GDAL does not report a full disk when a file is closed
            complete = np.array_equal(file.read(1), values, equal_nan=True)
    except RASTER_ERRORS as error:
        raise not_written(path, error) from error
    if not complete:
        raise not_written(path)
    plain.unlink()


def outline_block(mask: np.ndarray, stored: np.ndarray, grid: RegionGrid, row: int,
                  column: int) -> geopandas.GeoDataFrame:
    """Outline the changed pixels of a block.

    Args:
        mask: 0, 1 and nodata (h, w).
        stored: Probabilities as they are kept, quantised or float32 (h, w).
        grid: Grid of the region.
        row, column: Position of the block in the grid of blocks.

    Returns:
        In the CRS of the region, one row for pixels that hang together by their sides: ``geometry``, whose
        corners at a seam are bit by bit those of the neighbouring block, ``pixels``, ``probability_sum`` and
        ``touches_edge``.
    """
    shapes = outline_pixels((mask == 1).astype(np.uint8))
    pixels, sums = count_pixels(shapes, stored)
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    touches = (bounds[:, :2] == 0).any(axis=1) | (bounds[:, 2:] == mask.shape[::-1]).any(axis=1)
    window = grid.window(row, column)
    # From whole pixels of the region: of the block's own origin the last bit would differ from block to block.
    shapes = PolygonGrid(grid.affine, None).to_ground(
        shapely.transform(shapes, lambda xy: xy + (window.columns.start, window.rows.start)))
    return geopandas.GeoDataFrame(dict(pixels=pixels, probability_sum=sums, touches_edge=touches),
                                  geometry=geopandas.GeoSeries(list(shapes), crs=grid.rasterio_crs))


def _put_in_place(part: Path, final: Path) -> None:
    """Give a complete folder its name; an older one of that name goes first."""
    for path in part.iterdir():
        with path.open('rb+') as file:
            os.fsync(file.fileno())
    if final.exists():
        # A folder cannot be put over one with content. Whoever is killed between the two lines leaves no block, which
        # is made again, and never half a block.
        older = part.with_name(f'{part.name.removesuffix(".part")}.older')
        shutil.rmtree(older, ignore_errors=True)
        os.replace(final, older)
        os.replace(part, final)
        shutil.rmtree(older, ignore_errors=True)
    else:
        os.replace(part, final)
