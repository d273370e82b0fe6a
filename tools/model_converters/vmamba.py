"""Convert an official VMamba v2 or ChangeMamba checkpoint for SiameseVSSM."""
import argparse

from mmengine.logging import print_log

from mamba_cd_plugin.models.converters import convert_file


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='official checkpoint, such as vssm1_tiny_0230s_ckpt_epoch_264.pth')
    parser.add_argument('target', help='file to write, such as pretrained/vmamba_t_s1l8.pth')
    return parser.parse_args()


def main() -> None:
    """Convert, and say what was converted, left out and started fresh; or end with a line that says why not."""
    args = parse_args()
    try:
        conversion = convert_file(args.source, args.target)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print_log(f'{conversion.describe()}\nwritten to {args.target}; it belongs to '
              f"backbone=dict(type='SiameseVSSM', arch='{conversion.arch}', "
              f"init_cfg=dict(type='Pretrained', checkpoint='{args.target}'))")


if __name__ == '__main__':
    main()
