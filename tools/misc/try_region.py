"""Try `mamba-cd mosaic` on a generated county: the same bytes whoever makes the blocks, its pace, memory and plan.

    python tools/misc/try_region.py workers --out work_dirs/region     one and two workers, 16 shards
    python tools/misc/try_region.py cluster --out work_dirs/region     a Dask cluster; worker and scheduler are killed
    python tools/misc/try_region.py disk --out work_dirs/region        a disk that is full in the middle; as root
    python tools/misc/try_region.py speed --out work_dirs/region       pixels per second beside `mamba-cd predict`
    python tools/misc/try_region.py memory --out work_dirs/region      of one process, from 16 to 256 blocks
    python tools/misc/try_region.py plan                               100,000 blocks of rasters that are not there

The first three compare every file of every block with a run in one process, which they share. All but the last predict,
on a CPU, with the packaged small weights; --pairs, --size and --side say how much. The exit status is 1 where something
did not hold.
"""
import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from mmengine.logging import print_log

from mamba_cd_plugin.analysis.machine import resident
from mamba_cd_plugin.cli import main as command
from mamba_cd_plugin.cli.benchmark_predict import measure_alone
from mamba_cd_plugin.regions.grid import finished_blocks
from mamba_cd_plugin.zoo import STARTER, resolve_checkpoint

MIB = 2**20
BLOCK = 512
WINDOWS = ('--tile', '256', '--overlap', '64')
SHARDS = 16
AT_BLOCKS = 16, 32, 64, 128, 256


def say(text: str) -> None:
    """One line of the log."""
    print_log(text, logger='current')


def mosaic(county: Path, out: Path, *options: str) -> list[str]:
    """The arguments of ``mamba-cd``."""
    return ['mosaic', '--before', str(county / 'before'), '--after', str(county / 'after'), '--out', str(out),
            '--block', str(BLOCK), *WINDOWS, '--device', 'cpu', '--no-map', '--probability', 'uint8', *options]


def apart(words: list[str], **options: object) -> subprocess.Popen:
    """A command in a process of its own."""
    return subprocess.Popen([sys.executable, '-m', *words], **options)


def digests(out: Path) -> dict[str, str]:
    """The hash of every file of every block, but for what is on its way there."""
    return {str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest()
            for path in sorted((out / 'blocks').glob('[!.]*/*'))}


def county_of(args: argparse.Namespace) -> Path:
    """The county, generated where it is not there."""
    county = args.out / 'county'
    if not (county / 'county.geojson').is_file():
        script = Path(__file__).with_name('county.py')
        subprocess.run([sys.executable, str(script), str(county), '--pairs', str(args.pairs), '--size', str(args.size),
                        '--scenes', '4'], check=True)
    return county


def alone(args: argparse.Namespace) -> Path:
    """The region as one process makes it, with which the others are compared."""
    out, begun = args.out / 'alone', time.monotonic()
    command(mosaic(county_of(args), out))
    say(f'one process: {len(finished_blocks(out))} blocks in {time.monotonic() - begun:.0f} s')
    return out


def same(name: str, out: Path, expected: Path) -> bool:
    """Whether two regions have the same files with the same bytes; also said."""
    mine, others = digests(out), digests(expected)
    differing = sorted(path for path in mine.keys() | others.keys() if mine.get(path) != others.get(path))
    verdict = f'{len(differing)} differ: {differing[:5]}' if differing or not mine else 'the same bytes'
    say(f'{name}: {len(mine)} files of {len(finished_blocks(out))} blocks, {verdict}')
    return not differing and len(mine) > 0


def wait_for_blocks(out: Path, count: int, process: subprocess.Popen) -> None:
    """Until some blocks are there, or the process ends."""
    while len(finished_blocks(out)) < count and process.poll() is None:
        time.sleep(0.2)


def try_workers(args: argparse.Namespace) -> bool:
    """Two local workers, and shards one after the other."""
    expected, county = alone(args), county_of(args)
    two, shards = args.out / 'two', args.out / 'shards'
    for out in (two, shards):
        shutil.rmtree(out, ignore_errors=True)
    apart(['mamba_cd_plugin', *mosaic(county, two, '--workers', '2')]).wait()
    for number in range(1, SHARDS + 1):
        command(mosaic(county, shards, '--shard', f'{number}/{SHARDS}'))
    return all([same('two workers', two, expected), same(f'{SHARDS} shards', shards, expected)])


def try_cluster(args: argparse.Namespace) -> bool:
    """A scheduler and two workers over loopback; a worker is killed, then the scheduler, which is started again."""
    expected, county, out = alone(args), county_of(args), args.out / 'cluster'
    shutil.rmtree(out, ignore_errors=True)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'tcp://127.0.0.1:{free.getsockname()[1]}'
    quiet = dict(stderr=subprocess.DEVNULL, env=dict(os.environ, OMP_NUM_THREADS='1'))
    scheduler = ['distributed.cli.dask_scheduler', '--host', address, '--no-dashboard']
    worker = ['distributed.cli.dask_worker', address, '--nthreads', '1', '--no-nanny', '--no-dashboard']
    run = ['mamba_cd_plugin', *mosaic(county, out, '--scheduler', address)]
    there = len(finished_blocks(expected))
    processes = [apart(scheduler, **quiet), apart(worker, **quiet), apart(worker, **quiet)]
    try:
        first = apart(run)
        wait_for_blocks(out, there // 4, first)
        processes[1].kill()
        say(f'worker killed with {len(finished_blocks(out))} of {there} blocks')
        wait_for_blocks(out, there // 2, first)
        processes[0].kill()
        say(f'scheduler killed with {len(finished_blocks(out))} of {there} blocks')
        say(f'the command ended with {first.wait(300)}')
        processes += [apart(scheduler, **quiet), apart(worker, **quiet), apart(worker, **quiet)]
        say(f'the same command ended with {apart(run).wait(1200)}')
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return same('cluster, worker and scheduler killed', out, expected)


def try_disk(args: argparse.Namespace) -> bool:
    """A disk with a third of the room that the blocks need, then with enough; and SIGTERM in between."""
    expected, county, place = alone(args), county_of(args), args.out / 'disk'
    need = sum(path.stat().st_size for path in (expected / 'blocks').rglob('*.*'))
    place.mkdir(exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={need // 3}', 'tmpfs', str(place)], check=True)
    try:
        # A block fails three times, and then less than 64 MB are free: the run ends.
        process = apart(['mamba_cd_plugin', *mosaic(county, place / 'out')], stderr=subprocess.PIPE, text=True)
        _, said = process.communicate()
        full = process.returncode == 1 and 'the disk is full' in said
        say(f'full disk: exit status {process.returncode}, {len(finished_blocks(place / "out"))} blocks; {said[-300:]}')
        subprocess.run(['mount', '-o', 'remount,size=1g', str(place)], check=True)
        process = apart(['mamba_cd_plugin', *mosaic(county, place / 'out')])
        wait_for_blocks(place / 'out', len(finished_blocks(expected)) * 2 // 3, process)
        process.send_signal(signal.SIGTERM)
        say(f'SIGTERM: exit status {process.wait()}, {len(finished_blocks(place / "out"))} blocks')
        command(mosaic(county, place / 'out'))
        return same('full disk, then SIGTERM', place / 'out', expected) and full
    finally:
        subprocess.run(['umount', str(place)], check=True)


def try_speed(args: argparse.Namespace) -> bool:
    """Pixels per second of predict, and of mosaic with one and two workers, each in a process of its own."""
    from mamba_cd_plugin.synthetic.sample_rasters import sample_pair
    pair = sample_pair(args.out / f'town_{args.side}', (args.side, args.side))
    checkpoint = str(resolve_checkpoint(STARTER))
    one = measure_alone(checkpoint, pair.a, pair.b, args.out / 'predicted', 512)
    pixels = args.side**2
    say(f'predict: {pixels / one["seconds"] / 1e6:.3f} Mpx/s, {pixels / one["cpu_seconds"] / 1e6:.3f} Mpx per CPU '
        'second')
    for workers in (1, 2):
        out = args.out / f'speed_{workers}'
        shutil.rmtree(out, ignore_errors=True)
        words = ['mosaic', '--before', str(pair.a), '--after', str(pair.b), '--out', str(out), '--block',
                 str(args.side // 2), '--no-map', '--probability', 'uint8', '--device', 'cpu', '--workers',
                 str(workers)]
        begun = time.monotonic()
        apart(['mamba_cd_plugin', *words]).wait()
        whole = time.monotonic() - begun
        blocks = [float(value) for path in (out / 'logs').glob('*.log')
                  for value in re.findall(r'done after ([\d.]+) s', path.read_text('utf-8'))]
        say(f'mosaic, {workers} workers: {pixels * workers / sum(blocks) / 1e6:.3f} Mpx/s while blocks are made, '
            f'{pixels / whole / 1e6:.3f} with start, plan and the files of the region ({whole:.0f} s)')
    return True


def try_memory(args: argparse.Namespace) -> bool:
    """What one process has in memory after some blocks, and at most until then."""
    from mamba_cd_plugin.inference.pairs import ReadOptions
    from mamba_cd_plugin.inference.windows import PredictOptions
    from mamba_cd_plugin.regions.engine import run_blocks
    from mamba_cd_plugin.regions.region import RegionOptions, open_region, prepare_folder
    from mamba_cd_plugin.synthetic.sample_rasters import sample_pair
    side = 16 * args.memory_block
    pair = sample_pair(args.out / f'town_{side}', (side, side))
    shutil.rmtree(args.out / 'memory', ignore_errors=True)
    options = RegionOptions([str(pair.a)], [str(pair.b)], str(args.out / 'memory'), str(resolve_checkpoint(STARTER)),
                            device='cpu', block=args.memory_block, probability='uint8')
    region = open_region(options, ReadOptions(), PredictOptions(tile=128, overlap=32), 'cpu')
    prepare_folder(region, options)
    done, after = 0, []
    for count in AT_BLOCKS:
        run_blocks(region.job, region.tasks[done:count], count)
        done = count
        after.append(resident('VmRSS'))
        say(f'memory after {count} blocks: {after[-1] / MIB:.0f} MiB, at most {resident("VmHWM") / MIB:.0f} MiB')
    return after[-1] < 1.1 * after[0]


def try_plan(args: argparse.Namespace) -> bool:
    """The plan of 100,000 blocks, with the rasters of two dates as headers only."""
    import numpy as np
    from rasterio.crs import CRS

    from mamba_cd_plugin.inference.pairs import ReadOptions
    from mamba_cd_plugin.inference.windows import PredictOptions
    from mamba_cd_plugin.regions.headers import Raster
    from mamba_cd_plugin.regions.job import Job
    from mamba_cd_plugin.regions.plan import make_plan
    from mamba_cd_plugin.regions.region import make_tasks
    crs, side = CRS.from_epsg(32632).to_wkt(), 10_000
    count = int(np.ceil(np.sqrt(args.blocks) * 4096 / side))
    dates = [[Raster(f'/{date}/{row}_{column}.tif', crs, (0.5, 0., 3e5 + column * side / 2, 0., -0.5,
                                                                  6e6 - row * side / 2),
                     side, side, 'uint8', '') for row in range(count) for column in range(count)] for date in 'ab']
    begun = time.process_time()
    plan = make_plan(*dates, 4096)
    running = PredictOptions(batch_size=1, threshold=0.5)
    job = Job('out', plan.grid, '', None, 'cpu', '', 32, running, ReadOptions(), (None, None), 'none',
              move_b=args.align)
    tasks = make_tasks(plan, job)
    say(f'plan{" with --align" if args.align else ""}: {len(tasks):,} blocks of {2 * count**2:,} rasters in '
        f'{time.process_time() - begun:.1f} CPU s, at most {resident("VmHWM") / MIB:.0f} MiB')
    return time.process_time() - begun < 60


TRIALS: dict[str, Callable[[argparse.Namespace], bool]] = dict(
    workers=try_workers, cluster=try_cluster, disk=try_disk, speed=try_speed, memory=try_memory, plan=try_plan)


def main() -> int:
    """Try one thing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('trial', choices=TRIALS)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/region'), help='folder of data and results')
    parser.add_argument('--pairs', type=int, default=64, help='of the county (64)')
    parser.add_argument('--size', type=int, default=600, help='side of its rasters in pixels (600)')
    parser.add_argument('--side', type=int, default=4000, help='of the town of `speed`, in pixels (4000)')
    parser.add_argument('--memory-block', type=int, default=128, help='side of the blocks of `memory` (128)')
    parser.add_argument('--blocks', type=int, default=100_000, help='of `plan` (100,000)')
    parser.add_argument('--align', action='store_true', help='of `plan`: with what --align reads around each block')
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    return 0 if TRIALS[args.trial](args) else 1


if __name__ == '__main__':
    with suppress(KeyboardInterrupt):
        sys.exit(main())
