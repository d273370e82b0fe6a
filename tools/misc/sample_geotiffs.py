"""Write a generated town as two GeoTIFFs to try prediction on: python tools/misc/sample_geotiffs.py data/town"""
import argparse
from pathlib import Path

from mmengine.logging import print_log

from mamba_cd_plugin.synthetic.sample_rasters import write_sample_pair


def main() -> None:
    """Write the pair."""
    parser = argparse.ArgumentParser(description='Write a generated town as two GeoTIFFs, B in another CRS than A')
    parser.add_argument('out', help='folder to write')
    parser.add_argument('--size', type=int, nargs=2, default=(1200, 1600), metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--seed', type=int, default=2024, help='the same seed gives the same town')
    args = parser.parse_args()
    pair = write_sample_pair(Path(args.out), tuple(args.size), args.seed)
    print_log(f'wrote {", ".join(map(str, pair))}', logger='current')


if __name__ == '__main__':
    main()
