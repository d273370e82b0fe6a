"""Writes a data set of generated scenes in LEVIR layout."""
import argparse
import os

from mamba_cd_plugin.synthetic import write_dataset


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('out', help='folder to write; train, val and test with A, B and label each will lie in it')
    parser.add_argument('--num-train', type=int, default=400, help='pairs to train on')
    parser.add_argument('--num-val', type=int, default=40, help='pairs to choose the checkpoint by')
    parser.add_argument('--num-test', type=int, default=60, help='pairs to score')
    parser.add_argument('--size', type=int, nargs='+', default=[256], metavar='PX', help='one, or height and width')
    parser.add_argument('--seed', type=int, default=0, help='the same seed gives the same files')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes; the files do not depend on it')
    parser.add_argument('--overwrite', action='store_true', help='replace scenes made with other parameters')
    args = parser.parse_args()
    if len(args.size) > 2:
        parser.error(f'--size takes one number or two (height, width), not {len(args.size)}')
    return args


def main() -> None:
    """Writes the scenes, or ends with a line that says why not."""
    args = parse_args()
    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    counts = args.num_train, args.num_val, args.num_test
    try:
        write_dataset(args.out, *counts, size, args.seed, args.workers, args.overwrite)
    except (ValueError, FileExistsError) as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
