"""Write a generated town as two GeoTIFFs: python tools/misc/sample_geotiffs.py data/town"""
from mamba_cd_plugin.cli import run_tool

if __name__ == '__main__':
    run_tool('sample')
