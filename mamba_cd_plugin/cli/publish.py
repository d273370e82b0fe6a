"""Put weights, config and scores of a checkpoint into one file: mamba-cd publish best.pth cdmamba.safetensors"""
import argparse
from pathlib import Path

from mmengine.logging import print_log

from ..engine.checkpoint import find_checkpoint, trust_checkpoints
from ..engine.config_options import OptionsAction
from ..export.cards import check_card_fields, write_card
from ..export.publish import publish
from ..inference.checkpoints import read_named_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('checkpoint', help='training checkpoint')
    parser.add_argument('out', help='.pth or .safetensors file to write; a hash of its content is added to the name')
    parser.add_argument('--config', help='config file, for a checkpoint that holds none, or '
                        'whose model has parts of your own, which the file imports')
    parser.add_argument(
        '--metrics', nargs='+', action=OptionsAction, help='scores to write into it, such as test_changed_F1=0.9012')
    parser.add_argument(
        '--calibrate', metavar='DATA_ROOT', help='fit a temperature to the pairs in this folder (LEVIR layout)')
    parser.add_argument('--calibrate-split', default='val', metavar='SPLIT', help='split of that folder (default: val)')
    parser.add_argument(
        '--choose-threshold', action='store_true', help='with --calibrate: also the threshold with the highest F1')
    parser.add_argument('--device', default='cpu', help='device for the calibration (default: cpu)')
    parser.add_argument('--half', action='store_true', help='store the weights as float16: half the size')
    parser.add_argument(
        '--card', metavar='FIELDS.json', help='also write the card of the weights, NAME.json beside the file: a JSON '
        'object with trained_on, recipe, scores and so on; docs/models.md has an example')
    parser.add_argument('--trust-checkpoint', action='store_true', help='run whatever code the checkpoint contains')


def run(args: argparse.Namespace) -> None:
    """Publish."""
    trust_checkpoints(args.trust_checkpoint)
    cfg = read_named_config(args.config) if args.config else None
    if args.choose_threshold and not args.calibrate:
        raise ValueError('--choose-threshold needs --calibrate DATA_ROOT, on whose pairs it is chosen')
    if args.card:
        check_card_fields(Path(args.card))
    path = publish(find_checkpoint(args.checkpoint), Path(args.out), cfg, args.metrics, args.calibrate,
                   args.calibrate_split, args.choose_threshold, args.device, args.half)
    print_log(f'{path}: {path.stat().st_size / 1e6:.1f} MB, all that `mamba-cd predict` needs', logger='current')
    if args.card:
        card = write_card(path, Path(args.out).stem, Path(args.card))
        print_log(f'{card}: the card of {Path(args.out).stem}', logger='current')
