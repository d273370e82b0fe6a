"""Checks of a data set before it is trained on."""
from .checker import CheckResult, as_json, check_dataset, format_result
from .findings import Finding, Limits
from .registration import Shift, measure_shift

__all__ = ['CheckResult', 'Finding', 'Limits', 'Shift', 'as_json', 'check_dataset', 'format_result', 'measure_shift']
