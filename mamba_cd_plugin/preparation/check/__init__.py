"""Checks of a data set before it is trained on."""
from .checker import CheckResult, check_dataset
from .findings import Finding, Limits
from .registration import Shift, measure_shift
from .report import as_json, format_result

__all__ = ['CheckResult', 'Finding', 'Limits', 'Shift', 'as_json', 'check_dataset', 'format_result', 'measure_shift']
