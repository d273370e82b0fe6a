"""Convert official VMamba v2 or ChangeMamba weights: mamba-cd convert-weights official.pth pretrained/vmamba_t.pth"""
import argparse
from pathlib import Path

import torch
from mmengine.logging import print_log

from ..engine.checkpoint import load_from_local
from ..io.files import guard_output, output_file
from ..models.converters import Conversion, convert_change_mamba, convert_state_dict, unwrap


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('source', help='official checkpoint, such as vssm1_tiny_0230s_ckpt_epoch_264.pth')
    parser.add_argument('target', help='file to write, such as pretrained/vmamba_t_s1l8.pth')
    parser.add_argument('--whole', action='store_true', help='the whole model of a ChangeMamba checkpoint (MambaBCD), '
                        'for configs/baselines/changemamba_bcd_*.py, not its encoder alone')


def convert_file(source: str | Path, target: str | Path, whole: bool = False) -> Conversion:
    """Convert a checkpoint file. The target appears whole or not at all.

    Args:
        source: official checkpoint; loaded without running code from it.
        target: file to write; its folder is made.
        whole: convert a whole ChangeMamba model, with decoder and classifier (see ``convert_change_mamba``).

    Raises:
        FileNotFoundError: if there is no source.
        ValueError: if the source is no checkpoint or does not fit (see ``convert_state_dict``), or is the target.
    """
    source, target = Path(source), Path(target)
    guard_output(target, [source], 'the converted checkpoint')
    try:
        convert = convert_change_mamba if whole else convert_state_dict
        conversion = convert(unwrap(load_from_local(str(source), map_location='cpu')))
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    meta = dict(arch=conversion.arch, source=source.name, fresh=conversion.fresh)
    # An open file, since torch writes the name of a path into the file.
    with output_file(target, [source], 'the converted checkpoint') as part, part.open('wb') as file:
        torch.save(dict(meta=meta, state_dict=conversion.state_dict), file)
    return conversion


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was converted, left out and started fresh."""
    conversion = convert_file(args.source, args.target, args.whole)
    use = (f"backbone=dict(type='SiameseVSSM', arch='{conversion.arch}', "
           f"init_cfg=dict(type='Pretrained', checkpoint='{args.target}'))")
    if conversion.whole:
        use = f"the config configs/baselines/changemamba_bcd_*_levircd.py with backbone.arch '{conversion.arch}'"
    print_log(f'{conversion.describe()}\nwritten to {args.target}; it belongs to {use}')
