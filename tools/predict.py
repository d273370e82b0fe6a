"""Predict changes: python tools/predict.py 2019.tif 2023.tif --checkpoint cdmamba.pth --out changes"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('predict')
