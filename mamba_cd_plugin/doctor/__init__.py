"""The doctor: what is installed, what is wrong with it, and the command that mends it.

::

    python -m mamba_cd_plugin.doctor

    machine, distributions (metadata only) --.
    probe (a process of its own) ------------+--> Facts --> checks --> problems --> report, exit status
      imports, scan, self-test             --'

It is for environments that half work. So nothing here imports torch, mmengine, mmcv or mmseg except
:mod:`~mamba_cd_plugin.doctor.probe`, whose process may fail, hang or crash without taking the report along.
"""
from .checks import ERROR, NOTE, WARNING, Problem, examine
from .facts import Facts, gather_facts

__all__ = ['ERROR', 'NOTE', 'WARNING', 'Facts', 'Problem', 'examine', 'gather_facts']
