"""Puts the configs and the tools into a wheel; everything else about the package stands in pyproject.toml."""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
MIM = Path('mamba_cd_plugin/.mim')  # where mim, and mamba_cd_plugin/resources.py, look in an installed package


class BuildWithConfigs(build_py):
    """Builds from nothing, and adds configs, tools and the model index; an editable install uses the checkout's."""

    def run(self) -> None:
        """Build."""
        if self.editable_mode:
            super().run()
            return
        # setuptools leaves in build/ what an earlier build put there, also modules that are no more.
        shutil.rmtree(Path(self.build_lib) / 'mamba_cd_plugin', ignore_errors=True)
        super().run()
        target = Path(self.build_lib) / MIM
        for folder in ('configs', 'tools'):
            shutil.copytree(HERE / folder, target / folder, ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(HERE / 'model-index.yml', target)


setup(cmdclass={'build_py': BuildWithConfigs})
