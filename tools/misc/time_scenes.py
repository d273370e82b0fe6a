"""Time the generated scenes, beside those of another checkout: python tools/misc/time_scenes.py --against ../older

One process, one thread, processor time, in turns, so that other work on the machine hits both alike.
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys, time, cv2
cv2.setNumThreads(1)
try:
    from mamba_cd_plugin.synthetic import generate_pair
except ImportError:  # until 2026-11
    from mamba_cd_plugin.datasets.synthetic import generate_pair
count, size, first = map(int, sys.argv[1:])
for i in range(5):  # the textures that all scenes share
    generate_pair((0, i), size)
start = time.process_time()
for i in range(count):
    generate_pair((1, first + i), size)
print((time.process_time() - start) / count)
"""


def measure(checkout: Path, count: int, size: int, first: int) -> float:
    """Seconds per pair of one child process that imports from a checkout."""
    environment = {**os.environ, 'PYTHONPATH': str(checkout), 'OMP_NUM_THREADS': '1'}
    child = subprocess.run([sys.executable, '-c', CHILD, str(count), str(size), str(first)], env=environment,
                           cwd=checkout, stdout=subprocess.PIPE, text=True, check=True)
    return float(child.stdout.split()[-1])


def main() -> None:
    """Print the seconds per pair, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--against', type=Path, help='root of another checkout')
    parser.add_argument('--count', type=int, default=40, help='pairs in a turn (40)')
    parser.add_argument('--size', type=int, default=256, help='of a pair in pixels (256)')
    parser.add_argument('--turns', type=int, default=3, help='how often each is measured (3)')
    args = parser.parse_args()
    checkouts = [ROOT] + ([args.against.resolve()] if args.against else [])
    times = [[measure(root, args.count, args.size, turn * args.count) for root in checkouts]
             for turn in range(args.turns)]
    totals = [sum(column) / args.turns for column in zip(*times)]
    for root, total in zip(checkouts, totals):
        print(f'{total:.4f} s per pair of {args.size} px: {root}')
    if args.against:
        print(f'{totals[1] / totals[0]:.2f} times faster than the other')


if __name__ == '__main__':
    main()
