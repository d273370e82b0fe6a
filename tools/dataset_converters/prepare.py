"""Cut a data set into tiles: python tools/dataset_converters/prepare.py whu_cd downloads/whu_cd data/whu_cd_256"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('prepare')
