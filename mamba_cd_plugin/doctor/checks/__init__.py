from typing import Callable, Iterator

from ..facts import Facts
from ..finding import LEVELS, Finding
from .device import find_unused_cuda_build
from .distributions import find_missing_distributions, find_overlaid_distributions
from .scan import find_missing_compiler, find_missing_mamba_kernel, find_unusable_cache
from .steps import find_failed_step
from .versions import find_numpy_mismatch, find_refused_mmcv, find_wrong_versions

# To add a check, write a function and add it here.
CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    find_missing_distributions, find_overlaid_distributions, find_refused_mmcv, find_wrong_versions,
    find_numpy_mismatch, find_failed_step, find_unused_cuda_build, find_missing_mamba_kernel, find_missing_compiler,
    find_unusable_cache)


def examine(facts: Facts) -> list[Finding]:
    """Everything that the checks find, the worst first."""
    findings = [finding for check in CHECKS for finding in check(facts)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


__all__ = ['CHECKS', 'examine']
