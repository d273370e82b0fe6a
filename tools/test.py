"""Test a checkpoint: python tools/test.py configs/cdmamba_v8_levircd.py work_dirs/.../best_changed_F1.pth"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('test')
