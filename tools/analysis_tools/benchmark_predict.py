"""Speed and memory of predicting GeoTIFFs: python tools/analysis_tools/benchmark_predict.py cdmamba.pth"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('benchmark-predict')
