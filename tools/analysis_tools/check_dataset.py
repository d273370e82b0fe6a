"""Find every problem of a data set: python tools/analysis_tools/check_dataset.py data/levir_cd_256"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('check')
