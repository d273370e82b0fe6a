"""The report of one run or several: scores with intervals, comparison, pictures, cost, as one HTML page."""
from .report import ReportOptions, write_report
from .results import Sampling
from .runs import open_runs

__all__ = ['ReportOptions', 'Sampling', 'open_runs', 'write_report']
