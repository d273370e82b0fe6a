"""Convert official VMamba v2 or ChangeMamba weights: mamba-cd convert-weights official.pth pretrained/vmamba_t.pth"""
import argparse

from mmengine.logging import print_log

from ..models.converters import convert_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('source', help='official checkpoint, such as vssm1_tiny_0230s_ckpt_epoch_264.pth')
    parser.add_argument('target', help='file to write, such as pretrained/vmamba_t_s1l8.pth')


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was converted, left out and started fresh."""
    conversion = convert_file(args.source, args.target)
    print_log(f'{conversion.describe()}\nwritten to {args.target}; it belongs to '
              f"backbone=dict(type='SiameseVSSM', arch='{conversion.arch}', "
              f"init_cfg=dict(type='Pretrained', checkpoint='{args.target}'))")
