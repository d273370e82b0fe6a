"""Write packaged weights as Hugging Face lays them out: python tools/misc/release.py cdmamba_v8_small release/small

model.safetensors, config.json and README.md, ready to be uploaded as a repository of models.
"""
import argparse
from pathlib import Path

from mmengine.logging import print_log

from mamba_cd_plugin.export.cards import write_release
from mamba_cd_plugin.zoo import list_weights


def main() -> None:
    """Write the folder."""
    cards = list_weights()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('weights', choices=sorted(cards), help='name of packaged weights')
    parser.add_argument('folder', type=Path, help='folder to write')
    args = parser.parse_args()
    try:
        folder = write_release(cards[args.weights], args.folder)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    print_log(f'{folder}: {", ".join(sorted(path.name for path in folder.glob("[!.]*")))}')


if __name__ == '__main__':
    main()
