"""The command line: ``mamba-cd``, of which tools/*.py are shims."""
from .main import main, run_tool

__all__ = ['main', 'run_tool']
