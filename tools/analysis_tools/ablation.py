"""Train configs under the same conditions and compare them: python tools/analysis_tools/ablation.py --help"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('ablation')
