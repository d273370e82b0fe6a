"""Cut a data set into tiles: python tools/dataset_converters/prepare.py whu_cd downloads/whu_cd data/whu_cd_256"""
import sys

from mamba_cd_plugin.preparation.convert import main

if __name__ == '__main__':
    sys.exit(main())
