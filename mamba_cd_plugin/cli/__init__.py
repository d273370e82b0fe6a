"""The command line: ``mamba-cd``, which tools/*.py call."""
from .main import main, run_tool

__all__ = ['main', 'run_tool']
