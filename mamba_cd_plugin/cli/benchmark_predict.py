"""Speed and memory of predicting large GeoTIFFs: mamba-cd benchmark-predict cdmamba.pth"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from mmengine.logging import print_log
from prettytable import PrettyTable

from ..analysis.machine import resident

MIB = 2**20


def predict_and_measure(checkpoint: str, a: str, b: str, out: str, tile: int) -> dict:
    """Predict one pair in this process.

    Returns:
        ``seconds`` of the prediction alone and ``cpu_seconds`` of all cores together, ``loaded`` = bytes resident once
        the model is loaded, ``model`` = at most while it then ran one window, ``peak`` = at most until the end.
    """
    import numpy as np

    from ..inference import ChangeDetectionInferencer
    inferencer = ChangeDetectionInferencer(checkpoint, device='cpu', show_progress=False)
    loaded = resident('VmRSS')
    inferencer.model.forward(np.zeros((1, tile, tile, 6), np.uint8))
    model = resident('VmHWM')
    start, cpu_start = time.perf_counter(), time.process_time()
    inferencer((a, b), out_dir=out, probability='uint8', tile=tile, fresh=True)
    return dict(seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu_start, loaded=loaded,
                model=model, peak=resident('VmHWM'))


def measure_alone(*arguments: str | int | Path) -> dict:
    """Measure in a process of its own, since the peak of a process never falls.

    Raises:
        RuntimeError: If it fails, with the last thing it said.
    """
    result = subprocess.run([sys.executable, '-m', __name__, *map(str, arguments)], capture_output=True, text=True,
                            check=False)
    if result.returncode:
        raise RuntimeError(f'exit status {result.returncode}: {(result.stderr.splitlines() or ["nothing said"])[-1]}')
    return json.loads(result.stdout.splitlines()[-1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('checkpoint')
    parser.add_argument('--sizes', nargs='+', default=['2000x2000', '4000x4000', '8000x8000'], metavar='HEIGHTxWIDTH')
    parser.add_argument('--out', default='work_dirs/benchmark_predict', help='folder for the towns and the results')
    parser.add_argument('--tile', type=int, default=512)


def run(args: argparse.Namespace) -> None:
    """Measure every size and print a table."""
    from ..inference import ChangeDetectionInferencer
    from ..synthetic.sample_rasters import sample_pair
    ChangeDetectionInferencer(args.checkpoint, device='cpu')  # a bad checkpoint shows before a town is generated
    table = PrettyTable(['pixels', 'seconds', 'kpx/s', 'kpx/CPU s', 'model MiB', 'peak MiB', 'above the model',
                         'above the weights'])
    for size in args.sizes:
        height, width = map(int, size.split('x'))
        folder = Path(args.out) / size
        pair = sample_pair(folder, (height, width))
        result = measure_alone(args.checkpoint, pair.a, pair.b, folder / 'changes', args.tile)
        mib = {key: result[key] / MIB for key in ('loaded', 'model', 'peak')}
        rates = [height * width / result[key] / 1000 for key in ('seconds', 'cpu_seconds')]
        table.add_row([size, f'{result["seconds"]:.0f}', *(f'{rate:.1f}' for rate in rates), f'{mib["model"]:.0f}',
                       f'{mib["peak"]:.0f}', f'{mib["peak"] - mib["model"]:.0f}', f'{mib["peak"] - mib["loaded"]:.0f}'])
        print_log(f'\n{table}', logger='current')


if __name__ == '__main__':  # the process of measure_alone
    weights, before, after, folder, side = sys.argv[1:]
    sys.stdout.write('\n' + json.dumps(predict_and_measure(weights, before, after, folder, int(side))) + '\n')
