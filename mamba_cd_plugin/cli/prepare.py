"""Cut a change detection data set into tiles: mamba-cd prepare levircd downloads/LEVIR-CD data/levir_cd_256

The official folders or zips in, train|val|test / A, B, label out. An interrupted conversion resumes when the same
command is run again. Exit status: 0 where every split is in its place, 1 otherwise.
"""
import argparse

from mmengine.logging import print_log

from ..preparation.convert import CATALOG, EDGES, OWN_DATA, Converter, Tiling, format_reports, own_facts

ERRORS = (OSError, ValueError, ImportError)
# What a shell reports for a process that was interrupted from the keyboard.
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('dataset', choices=[*sorted(CATALOG), OWN_DATA],
                        help=f'the data set; {OWN_DATA}: your own, in train|val|test / A, B, label')
    parser.add_argument('source', help='folder of the download, unpacked or with its zips, or one zip')
    parser.add_argument('out', help='folder to write, such as data/levir_cd_256')
    parser.add_argument('--size', type=int, default=256, metavar='PX', help='side of a tile (default 256)')
    parser.add_argument('--overlap', type=int, default=0, metavar='PX',
                        help='pixels shared by neighbouring tiles (default 0)')
    parser.add_argument(
        '--edges', choices=EDGES,
        help='where tiles do not fit: shift = one more that ends with the image, drop = leave the rest out '
        '(default: shift, for WHU-CD drop)')
    parser.add_argument(
        '--val-share', type=float, metavar='SHARE',
        help='share of train set aside where there is no official val split (default 0.1); 0 = none')
    parser.add_argument('--workers', type=int, metavar='N', help='threads (default: one per processor, at most 8)')
    parser.add_argument('--value-range', type=float, nargs=2, metavar=('LOW', 'HIGH'),
                        help='values for black and white, for images of more than 8 bits')
    parser.add_argument('--scale', type=float, default=1., metavar='FACTOR',
                        help=f'only for {OWN_DATA}: resize the images first; 2 makes pixels of 0.5 m from 1 m')
    parser.add_argument('--ignore-value', type=int, metavar='VALUE',
                        help=f'only for {OWN_DATA}: value of label pixels without ground truth')
    parser.add_argument('--accept-incomplete', action='store_true', help='use what is there, whatever is missing')


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was written; the exit status."""
    if args.scale != 1 and args.dataset != OWN_DATA:
        raise ValueError(f'--scale {args.scale:g}: {args.dataset} is cut as it is, so that scores can be compared. To '
                         f'resize it, arrange it in train|val|test / A, B, label and name it {OWN_DATA}.')
    if args.ignore_value is not None and args.dataset != OWN_DATA:
        raise ValueError(f'--ignore-value {args.ignore_value}: the labels of {args.dataset} have no such value')
    facts = own_facts(args.source, args.scale) if args.dataset == OWN_DATA else CATALOG[args.dataset]
    tiling = Tiling(args.size, args.overlap, args.edges or facts.edges,
                    facts.val_share if args.val_share is None else args.val_share)
    try:
        converter = Converter(facts, args.source, args.out, tiling, args.workers, args.accept_incomplete,
                              value_range=args.value_range, scale=args.scale, ignore_value=args.ignore_value)
        reports = converter.run()
    except KeyboardInterrupt:
        print_log('interrupted; run the same command again to resume')
        return _INTERRUPTED
    print_log(format_reports(facts, tiling, args.out, reports))
    return 0 if args.accept_incomplete or all(report.is_in_place for report in reports.values()) else 1
