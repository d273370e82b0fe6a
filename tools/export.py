"""Export a checkpoint: python tools/export.py cdmamba.pth cdmamba.onnx"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('export')
