"""Package metadata. Nothing here imports torch: building must work on a machine that has only Python."""
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r"__version__ = '([^']+)'", (HERE / 'mamba_cd_plugin/version.py').read_text()).group(1)

setup(
    name='mamba_cd_plugin',
    version=VERSION,
    description='State-space models for change detection in bitemporal satellite images, as an MMSegmentation plugin',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mamba_cd_plugin', 'mamba_cd_plugin.*']),
    package_data={'mamba_cd_plugin': ['py.typed', 'ops/csrc/*.c', 'ops/csrc/*.h', 'report/templates/*']},
    # 3.9 is the oldest Python for which there is a torch 2.6.
    python_requires='>=3.9',
    install_requires=[
        # 2.6: the first whose weights_only loader can be told by name which classes a checkpoint may hold.
        'torch>=2.6',
        'numpy',
        # The curves and the bar charts; mmengine requires it too. 3.7 is the first with legends outside of the axes.
        'matplotlib>=3.7',
        # The page of the report; torch requires it too.
        'jinja2',
        # mmengine, mmcv and mmseg are needed too, but are NOT listed: two distributions provide each of them (the
        # upstream one and the maintained `onedl-` continuation) and both own the same folders, so that a hard
        # requirement on one would overwrite the other. `pip install mamba_cd_plugin[onedl]` or `[upstream]` chooses.
    ],
    extras_require={
        # The maintained continuation, exactly the versions the tests run on.
        'onedl': ['onedl-mmengine==0.10.12', 'onedl-mmcv==2.3.6', 'onedl-mmsegmentation==1.4.2'],
        # The originals. mmseg 1.2 refuses mmcv 2.2 and imports mmcv's compiled ops at its own import, so that
        # mmcv-lite is not enough although nothing here calls one; it imports ftfy and regex without naming them.
        'upstream': ['mmengine>=0.10.4,<0.11', 'mmcv>=2.0.0,<2.2', 'mmsegmentation>=1.2,<1.3', 'ftfy', 'regex'],
        # The CUDA kernel of the selective scan; needs nvcc at install time.
        'mamba': ['mamba-ssm>=2.2'],
        # GeoTIFFs in, polygons out. rasterio 1.3 reads through WarpedVRT by windows; geopandas 1.0 writes by pyogrio.
        'geo': ['rasterio>=1.3', 'geopandas>=1.0'],
        # ONNX files, and running them; onnxscript is what torch's own exporter builds them with.
        'export': ['onnx', 'onnxscript', 'onnxruntime'],
        # 2.0 of mkdocs drops plugins, on which the rest depends. The others are bound to what the site was built with:
        # the handler's griffe has renamed its distribution and options more than once.
        'docs': ['mkdocs>=1.6,<2', 'mkdocs-material>=9.8,<10', 'mkdocstrings>=1.0,<2', 'mkdocstrings-python>=2.0,<3'],
        'tests': ['pytest>=8', 'ruff', 'tensorboard'],
    },
)
