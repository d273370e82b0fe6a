"""Check every result of a prediction on a large generated town: mamba-cd check-predict cdmamba.pth"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from mmengine.logging import print_log

from ..analysis.predict_checks import check_grid, check_polygons, compare_predictions, step_at_seams
from ..inference import ChangeDetectionInferencer
from ..inference.job import PROBABILITY_STEPS
from ..inference.outputs import write_picture
from ..inference.pairs import open_pair
from ..inference.windows import PredictOptions, Span, Window, axis_spans
from ..synthetic.sample_rasters import SamplePair, sample_pair
from ..visualization.drawing import overlay_picture

CROP = 512  # the side of the picture of a place where four windows meet
WINDOWS = PredictOptions()


def predict_until(pair: SamplePair, checkpoint: str, out: Path, until: float = 1.) -> None:
    """Run ``mamba-cd predict``, and kill it once this share of the rows of windows is done.

    Raises:
        RuntimeError: If it fails, or ends before it could be killed.
    """
    command = [sys.executable, '-m', 'mamba_cd_plugin', 'predict', str(pair.a), str(pair.b), '--checkpoint', checkpoint,
               '--out', str(out), '--min-area', '0', '--outline', 'pixels', '--probability', 'uint8', '--device', 'cpu']
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
        while until < 1 and run.poll() is None and rows_done(out, pair) < until:
            time.sleep(0.02)
        if until < 1:
            run.kill()
        expected = 0 if until == 1 else -9
        if run.wait() != expected:
            raise RuntimeError(f'{" ".join(command)}: expected the exit status {expected}, got {run.returncode}')


def rows_done(out: Path, pair: SamplePair) -> float:
    """The share of the image rows that a run in progress has stored for good."""
    state = out / f'.{pair.a.stem}.partial' / 'state.json'
    if not state.is_file():
        return 0.
    with rasterio.open(pair.a) as file:
        return json.loads(state.read_text('utf-8'))['rows_done'] / file.height


def compare_with_whole(checkpoint: str, pair: SamplePair, side: int) -> dict:
    """Stitched windows against one window, on the upper left corner."""
    inferencer = ChangeDetectionInferencer(checkpoint, device='cpu', show_progress=False)
    with open_pair(pair.a, pair.b) as source, rasterio.open(pair.truth) as file:
        corner = source.read(Window(Span(0, side), Span(0, side))).pair
        truth = file.read(1)[:side, :side]
    whole, windows = (inferencer((corner[..., :3], corner[..., 3:]), tile=tile)['predictions'][0]
               for tile in (side, WINDOWS.tile))
    found = compare_predictions(whole, windows, truth)
    return {f'mean difference of the probabilities on {side} x {side} px, whole or in windows': found.mean_difference,
            'share of pixels that become another class': found.other_pixels,
            'F1 whole, in windows': ', '.join(f'{100 * f1:.2f} %' for f1 in found.f1)}


def draw_meeting(pair: SamplePair, out: Path, probability: np.ndarray, mask: np.ndarray) -> None:
    """Where four windows meet: A, B, probability, and the mask over B; the outermost rows and columns of the picture
    are white where the windows are blended."""
    meeting = []
    for size in mask.shape:
        left, right = axis_spans(size, WINDOWS.tile, WINDOWS.overlap)[:2]
        middle = (right.start + left.stop) // 2
        meeting.append((Span(middle - CROP // 2, middle + CROP // 2), Span(right.start, left.stop)))
    (rows, blended_rows), (columns, blended_columns) = meeting
    place = slice(*rows), slice(*columns)
    with open_pair(pair.a, pair.b) as source:
        images = source.read(Window(rows, columns)).pair
    grey = np.repeat((probability[place] * 255).astype(np.uint8)[..., None], 3, axis=2)
    views = [images[..., :3], images[..., 3:], grey, overlay_picture(images[..., 3:], mask[place])]
    for i, view in enumerate(views):
        views[i] = view = np.pad(view, ((8, 8), (8, 8), (0, 0)))
        for start, stop, part in ((*blended_rows, view), (*blended_columns, view.transpose(1, 0, 2))):
            offset = 8 - (rows if part is view else columns).start
            part[start + offset:stop + offset, [*range(6), *range(-6, 0)]] = 255
    write_picture(out / 'meeting.png', np.vstack([np.hstack(views[:2]), np.hstack(views[2:])]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('checkpoint')
    parser.add_argument('--size', default='4000x6000', metavar='HEIGHTxWIDTH')
    parser.add_argument('--whole', type=int, default=1024, help='side of the part that is also predicted as a whole')
    parser.add_argument('--out', default='work_dirs/check_predict', help='folder for the town and the results')


def run(args: argparse.Namespace) -> None:
    """Predict, check, compare; ends with an error at the first wrong result.

    Raises:
        ValueError: If the town is too small.
        RuntimeError: If a result is not as it must be.
    """
    height, width = map(int, args.size.split('x'))
    if min(height, width) < 2 * WINDOWS.tile:
        raise ValueError(f'--size {args.size}: expected at least {2 * WINDOWS.tile} px a side, so that windows meet')
    ChangeDetectionInferencer(args.checkpoint, device='cpu')  # a bad checkpoint shows before a town is generated
    out = Path(args.out)
    pair = sample_pair(out / 'town', (height, width))
    predict_until(pair, args.checkpoint, out / 'once')
    predict_until(pair, args.checkpoint, out / 'twice', until=0.5)
    predict_until(pair, args.checkpoint, out / 'twice')
    names = sorted(path.name for path in (out / 'once').iterdir())
    if names != sorted(path.name for path in (out / 'twice').iterdir()) or not all(
            (out / 'once' / name).read_bytes() == (out / 'twice' / name).read_bytes() for name in names):
        raise RuntimeError(f'{out}: once and twice, which was killed at half, differ')
    mask, probability, polygons = (out / 'once' / f'{pair.a.stem}_{name}'
                                   for name in ('mask.tif', 'probability.tif', 'polygons.gpkg'))
    check_grid(pair.a, mask)
    found = {'difference of the areas': check_polygons(mask, polygons)}
    with rasterio.open(mask) as file, rasterio.open(probability) as other:
        values, chances = file.read(1), other.read(1) / PROBABILITY_STEPS
    found['step at seams'] = step_at_seams(chances, axis_spans(values.shape[1], WINDOWS.tile, WINDOWS.overlap))
    draw_meeting(pair, out, chances, values)
    found.update(compare_with_whole(args.checkpoint, pair, args.whole))
    lines = '\n'.join(f'{key}: {value if isinstance(value, str) else format(value, ".2g")}'
                      for key, value in found.items())
    print_log(f'the grid is that of A, the polygons are the changed pixels, after a kill and a restart '
              f'{len(names)} files have the same bytes\n{lines}\nlook at {out / "meeting.png"}', logger='current')
