"""Cut LEVIR-CD into tiles: python tools/dataset_converters/levircd.py downloads/LEVIR-CD data/levir_cd_256"""
import sys

from mamba_cd_plugin.preparation.convert import main

if __name__ == '__main__':
    sys.exit(main(dataset='levircd'))
