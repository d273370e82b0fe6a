"""Report of a run, or comparison of several: python tools/analysis_tools/report.py work_dirs/cdmamba_v8_levircd"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('report')
