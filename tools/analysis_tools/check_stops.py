"""Stop a training again and again: python tools/analysis_tools/check_stops.py --stops 20"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('check-stops')
