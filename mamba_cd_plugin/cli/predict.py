"""Find what changed between two images of any size: mamba-cd predict 2019.tif 2023.tif --checkpoint c.pth --out out"""
import argparse
import logging

from mmengine.logging import print_log

from ..engine.checkpoint import trust_checkpoints
from ..inference import ChangeDetectionInferencer
from ..inference.outputs import OUTLINE_CHOICES, OutputOptions, choices, describe_choices
from ..inference.windows import PredictOptions
from ..zoo import STARTER

STOPPED = 'stopped; run the same command again to resume'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    run, out = PredictOptions(), OutputOptions()
    parser.add_argument('a', help='the earlier image, whose grid is that of the results; or a folder')
    parser.add_argument('b', help='the later image; or a folder with the same names')
    parser.add_argument(
        '--checkpoint', default=STARTER,
        help='checkpoint (.pth, .safetensors), model of `mamba-cd export` (.onnx), or the name of weights of the '
        f'package (default: {STARTER})')
    parser.add_argument('--out', required=True, help='folder for the results')
    parser.add_argument('--config', help='config file, for a checkpoint that holds none, or '
                        'whose model has parts of your own, which the file imports')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: the best available)')
    parser.add_argument('--trust-checkpoint', action='store_true', help='run whatever code the checkpoint contains')
    parser.add_argument('--fresh', action='store_true', help='start over, even if there is an earlier result')

    reading = parser.add_argument_group('images')
    reading.add_argument('--bands', type=int, nargs='+', help='numbers, from 1, of the red, green and blue '
                         'band, or of a grey one (default: what the header says)')
    reading.add_argument('--bands-b', type=int, nargs='+', help='the same for B, if its bands differ')
    reading.add_argument(
        '--value-range', type=float, nargs=2, metavar=('LOW', 'HIGH'),
        help='values for black and white; by default 8-bit images are used as they are, all others from their 2nd to '
        'their 98th percentile')
    reading.add_argument(
        '--nodata', type=float, metavar='VALUE', help='pixels with this value in all bands have no data, such as 0 in '
        "a collar; replaces the files' own nodata values")

    running = parser.add_argument_group('model')
    running.add_argument('--tile', type=int, default=run.tile,
                         help=f'side of the windows in pixels (default: {run.tile})')
    running.add_argument('--overlap', type=int, default=run.overlap,
                         help=f'pixels that neighbouring windows share (default: {run.overlap})')
    running.add_argument('--batch-size', type=int, help='windows per step (default: as many as fit into memory)')
    running.add_argument('--tta', action='store_true', help='average over flips')
    running.add_argument('--threshold', type=float,
                         help="probability above which a pixel is changed (default: the model's own)")

    writing = parser.add_argument_group('results')
    writing.add_argument(
        '--probability', choices=choices('probability'), default=out.probability,
        help=f'also write it (default: {out.probability}). ' + describe_choices('probability'))
    writing.add_argument(
        '--polygons', choices=choices('polygons'), default=out.polygons,
        help=f'default: {out.polygons}. ' + describe_choices('polygons'))
    writing.add_argument(
        '--min-area', type=float, default=argparse.SUPPRESS, help='square metres below which a polygon is dropped '
        f'(default: {out.min_area:g}); pixels for images without a CRS')
    writing.add_argument(
        '--outline', choices=OUTLINE_CHOICES, default=argparse.SUPPRESS, help='of the polygons: simple straightens the '
        'staircases of pixels by up to half a pixel, square gives right angles to the main direction of a building, '
        f'pixels keeps every step (default: {out.outline})')
    writing.add_argument(
        '--split', type=float, metavar='PROBABILITY', default=argparse.SUPPRESS, help='part buildings that grew '
        'together: a polygon that falls into several where only pixels of this probability and above are kept, such '
        'as 0.8')
    writing.add_argument('--no-overview', dest='overview', action='store_false', help='draw no overview')


def run(args: argparse.Namespace) -> None:
    """Predict."""
    options = vars(args).copy()
    # A model takes a while to load: what needs none is checked first.
    OutputOptions.given({name: options[name] for name in OutputOptions._fields if name in options})
    trust_checkpoints(options.pop('trust_checkpoint'))
    pair = options.pop('a'), options.pop('b')
    inferencer = ChangeDetectionInferencer(options.pop('config'), options.pop('checkpoint'), options.pop('device'))
    out_dir = options.pop('out')
    for summary, _ in inferencer.each(pair, out_dir=out_dir, **options):
        print_log(describe_summary(summary, out_dir), logger='current', level=logging.INFO)


def describe_summary(summary: dict, out_dir: str) -> str:
    """What came out, in one line."""
    share = summary['changed_pixels'] / summary['pixels']
    parts = [f'{summary["name"]}: {share:.2%} of {summary["pixels"]:,} px changed']
    if 'polygons' in summary:
        area = summary.get('changed_area_m2')
        parts.append(f'{summary["polygons"]} polygons' + ('' if area is None else f' of {area:,.0f} m2'))
    return f'{", ".join(parts)}; in {out_dir}: {", ".join(summary["files"])}'
