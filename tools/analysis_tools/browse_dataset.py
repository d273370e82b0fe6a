"""See pairs as the model gets them: python tools/analysis_tools/browse_dataset.py configs/cdmamba_v8_levircd.py"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('browse')
