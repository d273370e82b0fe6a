"""The report of one run or several: scores with intervals, comparison, pictures, cost, as one HTML page."""
from .report import ReportOptions, write_report
from .run import open_runs
from .summary import Sampling

__all__ = ['ReportOptions', 'Sampling', 'open_runs', 'write_report']
