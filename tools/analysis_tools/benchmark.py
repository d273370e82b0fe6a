"""Time and memory of the scan and the model: python tools/analysis_tools/benchmark.py --quick"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('benchmark')
