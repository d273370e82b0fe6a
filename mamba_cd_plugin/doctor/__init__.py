"""The doctor: examines an installation and prints a command that fixes each problem.

::

    python -m mamba_cd_plugin.doctor

    machine, distributions (metadata only) --.
    probe (a process of its own) ------------+--> Facts --> checks --> problems --> report, exit status
      imports, scan, self-test             --'

It must run in broken environments, so nothing here imports torch, mmengine, mmcv or mmseg except
:mod:`~mamba_cd_plugin.doctor.probe`, whose process may fail, hang or crash without affecting the report.
"""
from .checks import ERROR, NOTE, WARNING, Problem, examine
from .facts import Facts, gather_facts

__all__ = ['ERROR', 'NOTE', 'WARNING', 'Facts', 'Problem', 'examine', 'gather_facts']
