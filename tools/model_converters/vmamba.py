"""Convert a VMamba checkpoint: python tools/model_converters/vmamba.py official.pth pretrained/vmamba_t.pth"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('convert-weights')
