"""Predict a whole region: python tools/mosaic.py --before 2019/ --after 2023/ --checkpoint cdmamba.pth --out changes"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('mosaic')
