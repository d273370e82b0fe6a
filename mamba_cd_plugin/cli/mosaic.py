"""Find what changed in a whole region, from many rasters of two dates, block by block:

    mamba-cd mosaic --before 2019/ --after 2023.vrt --aoi county.geojson --checkpoint c.pth --out changes
    mamba-cd mosaic ... --dry-run                      the plan only, with a picture
    mamba-cd mosaic ... --workers 4                    in four local processes
    mamba-cd mosaic ... --scheduler tcp://head:8786    by the workers of a Dask cluster
    mamba-cd mosaic ... --shard 3/16                   one task of a Slurm array

Whoever runs the same command again goes on with the blocks that are missing.
"""
import argparse
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from ..inference.outputs import OUTLINE_CHOICES
from ..inference.pairs import ReadOptions
from ..inference.vector_formats import VECTOR_FORMATS
from ..inference.windows import PredictOptions
from ..zoo import STARTER, describe_weights, resolve_checkpoint

STOPPED = 'stopped; only whole blocks are there, and the same command goes on with the others'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    run = PredictOptions()
    inputs = 'rasters, folders, globs, lists (.txt), tile indexes (GeoJSON, GeoParquet ...), STAC item collections'
    parser.add_argument('--before', nargs='+', required=True, metavar='INPUT', help=f'the earlier date: {inputs}; also '
                        'by https:// or s3://')
    parser.add_argument('--after', nargs='+', required=True, metavar='INPUT', help='the later date')
    parser.add_argument('--out', required=True, help='folder of the results')
    parser.add_argument(
        '--checkpoint', default=STARTER,
        help='checkpoint (.pth), model of `mamba-cd export` (.onnx), or the name of weights of the package (default: '
        f'{STARTER})')
    parser.add_argument('--config', help='config file, for a checkpoint that holds none, or '
                        'whose model has parts of your own, which the file imports')
    parser.add_argument('--device', help='such as cpu or cuda; the best there is by default')
    parser.add_argument('--dry-run', action='store_true', help='print the plan, draw it into OUT/plan.png, and stop')

    images = parser.add_argument_group('images')
    images.add_argument('--order', choices=('first', 'newest'), default='first', help='which of several rasters of one '
                        'date counts where they overlap: the one named first, or the newest')
    images.add_argument('--asset', help='of STAC items, the asset to take')
    images.add_argument('--bands', type=int, nargs='+', help='numbers, from 1, of the red, green and blue '
                        'band, or of a grey one (default: what the headers say)')
    images.add_argument('--bands-b', type=int, nargs='+', help='the same of the later date, where it has others')
    images.add_argument('--value-range', type=float, nargs=2, metavar=('LOW', 'HIGH'),
                        help='values for black and white; by default the 2nd and 98th percentile of each date, '
                        'unless it has 8 bits')
    images.add_argument('--nodata', type=float, metavar='VALUE',
                        help="pixels with this value in all bands have no data; replaces the files' own nodata values")
    images.add_argument('--cloud-band', type=int, metavar='N', help='number of the band that is a cloud mask: pixels '
                        'that it marks are taken from the next raster that shows them, if there is one')
    images.add_argument('--cloud-band-b', type=int, metavar='N', help='the same of the later date, where it is '
                        'another one; 0: it has none')
    images.add_argument('--cloud-asset', metavar='NAME', help='of STAC items, the asset that is the cloud mask, such '
                        'as scl; needs --cloud-values')
    images.add_argument('--cloud-values', type=float, nargs='+', metavar='VALUE', help='values that mark a pixel in '
                        'the cloud mask; all but 0 by default')
    images.add_argument('--align', action='store_true', help='measure the shift of the dates against each other in '
                        'cells of 512 px, and move the later one by it where it is sure')

    grid = parser.add_argument_group('grid')
    grid.add_argument('--aoi', help='polygons; only what lies inside is predicted')
    grid.add_argument('--crs', help='CRS of the results; that of most rasters before by default')
    grid.add_argument('--resolution', type=float, help='side of a pixel in units of the CRS; that of most rasters '
                      'before by default')
    grid.add_argument('--block', type=int, default=4096, help='side of a block in pixels (default: 4096)')

    running = parser.add_argument_group('model')
    running.add_argument('--tile', type=int, default=run.tile,
                         help=f'side of the windows in pixels (default: {run.tile})')
    running.add_argument('--overlap', type=int, default=run.overlap,
                         help=f'pixels that neighbouring windows share (default: {run.overlap})')
    running.add_argument('--batch-size', type=int, help='windows per step; by default 1 on a CPU and 4 on a GPU, '
                         'whatever its memory')
    running.add_argument('--tta', action='store_true', help='average over flips')
    running.add_argument('--threshold', type=float, help="probability of a change; the model's own by default")
    running.add_argument('--probability', choices=('none', 'uint8', 'float32'), default='none',
                         help='also write the probability of every block')

    writing = parser.add_argument_group('results')
    writing.add_argument('--polygons', choices=[record.choice for record in VECTOR_FORMATS], default='parquet',
                         help='changes.parquet is always written; another choice writes that file too: ' + '; '.join(
                             f'{record.choice}: {record.what}' for record in VECTOR_FORMATS))
    writing.add_argument('--min-area', type=float, default=10., help='square metres below which a polygon is dropped '
                         '(default: 10)')
    writing.add_argument('--outline', choices=OUTLINE_CHOICES, default='simple', help='of the polygons, as in predict '
                         '(default: simple)')
    writing.add_argument('--split', type=float, metavar='PROBABILITY', help='part buildings that grew together, as in '
                         'predict; needs --probability uint8 or float32')
    writing.add_argument('--zones', help='polygons, such as municipalities, for which summary.json adds changes up')
    writing.add_argument('--zone-name', metavar='COLUMN', help='names the zones; name, id or code by default')
    writing.add_argument('--no-map', dest='page', action='store_false', help='write no index.html')

    who = parser.add_argument_group('who does it')
    choice = who.add_mutually_exclusive_group()
    choice.add_argument('--workers', type=int, default=1, help='local processes; with several GPUs, one each')
    choice.add_argument('--scheduler', metavar='ADDRESS', help='of a Dask scheduler; its workers read the rasters and '
                        'write into OUT under the same paths')
    choice.add_argument('--shard', metavar='N/COUNT', help='make only one share of the blocks, without an engine; the '
                        'same command without --shard then finishes')
    who.add_argument('--threads', type=int, help='of each worker on a CPU')


def run(args: argparse.Namespace) -> int:
    """Plan, make the blocks, and sum up."""
    try:
        from ..regions import engine, region
        from ..regions.finish import FinishOptions
        from ..regions.shift import describe_shift, measure_places, sum_up_places
    except ImportError as error:
        raise ImportError(f"regions need rasterio, geopandas and more: pip install 'mamba_cd_plugin[regions]' "
                          f'({error})') from error
    if args.workers < 1:
        raise ValueError(f'--workers: expected at least 1, got {args.workers}')
    # A county takes minutes to plan: what needs no plan is checked first.
    finishing = _fields(args, FinishOptions)
    finishing.check_alone(args.probability)
    if args.shard is not None:
        engine.parse_shard(args.shard)
    checkpoint = str(resolve_checkpoint(args.checkpoint))
    for line in describe_weights(checkpoint):
        print_log(line, logger='current')
    options: Any = _fields(args, region.RegionOptions)._replace(checkpoint=str(Path(checkpoint).resolve()))
    elsewhere = args.workers > 1 or args.scheduler is not None
    if args.workers > 1 and options.threads is None:
        options = options._replace(threads=region.threads_of_each(args.workers))
    whole = region.open_region(options, _fields(args, ReadOptions), _fields(args, PredictOptions),
                               'cpu' if elsewhere else options.device)
    for line in region.describe_plan(whole):
        print_log(line, logger='current')
    finishing.check_region(whole.out, whole.plan.grid, options.probability)
    region.prepare_folder(whole, options, args.dry_run)
    if args.dry_run:
        shift = describe_shift(sum_up_places(measure_places(whole.job, whole.tasks)))
        for line in (shift, *region.describe_cost(whole, args.workers)):
            print_log(line, logger='current')
        region.draw_plan(whole, whole.out / region.PICTURE)
        return 0
    tasks = whole.missing
    if args.shard is not None:
        mine = {(task.row, task.column) for task in engine.shard_of(whole.tasks, args.shard)}
        tasks = [task for task in tasks if (task.row, task.column) in mine]
    outcome = engine.run_blocks(whole.job, tasks, len(tasks) if args.shard else len(whole.tasks), args.workers,
                                args.scheduler)
    if args.shard is not None:
        print_log(f'shard {args.shard}: {outcome.made:,} blocks made, {len(outcome.failed):,} failed', logger='current')
        return int(bool(outcome.failed))
    summary = region.finish_region(whole, outcome, finishing, args.checkpoint)
    share = summary['changed_pixels'] / max(summary['pixels'], 1)
    print_log(f'{summary["blocks_done"]:,} of {summary["blocks"]:,} blocks are there, {outcome.made:,} made now; '
              f'{share:.2%} of {summary["pixels"]:,} px changed; in {whole.out}', logger='current')
    return int(bool(summary['failed'] or summary['left_out']))


def _fields(args: argparse.Namespace, kind: Any) -> Any:
    """The arguments that are fields of a record."""
    return kind(**{name: getattr(args, name) for name in kind._fields})
