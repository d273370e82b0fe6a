"""Cut LEVIR-CD into tiles: python tools/dataset_converters/levircd.py downloads/LEVIR-CD data/levir_cd_256"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('prepare', 'levircd')
