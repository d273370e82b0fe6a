"""Publish a checkpoint: python tools/misc/publish_model.py work_dirs/x/best_changed_F1.pth cdmamba.pth"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('publish')
