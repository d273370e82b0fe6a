"""The command line: ``mamba-cd``, which tools/*.py call."""
from .main import console, main, run_tool

__all__ = ['console', 'main', 'run_tool']
