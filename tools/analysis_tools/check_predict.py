"""Check prediction on a large town: python tools/analysis_tools/check_predict.py cdmamba.pth"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('check-predict')
