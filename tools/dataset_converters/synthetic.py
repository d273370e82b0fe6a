"""Write a data set of generated scenes: python tools/dataset_converters/synthetic.py data/synthetic"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('synthetic')
