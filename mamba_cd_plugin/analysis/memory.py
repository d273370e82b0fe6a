"""Peak memory of one call, measured in a process of its own."""
import json
import resource
import subprocess
import sys
from dataclasses import asdict
from typing import Dict

from ..engine.allocator import keep_freed_memory
from .cases import Case, prepare
from .machine import resident

MIB = 2**20


def measure_here(case: Case) -> Dict[str, float]:
    """Peak resident memory of this process while a case is prepared and run twice, in MiB.

    On Linux this is the kernel's high-water mark, which a fresh process starts at zero; ``getrusage``, used elsewhere,
    can carry over the mark of the process that started this one.

    Returns:
        ``total``, and ``above_start``: what weights, inputs and the calls themselves added to the imported libraries.
    """
    before = resident('VmRSS') or _ru_maxrss()
    function = prepare(case)
    for _ in range(2):  # the second call meets what the first one left: optimizer states, gradients, caches
        function()
    peak = resident('VmHWM') or _ru_maxrss()
    return dict(total=peak / MIB, above_start=(peak - before) / MIB)


def _ru_maxrss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_memory(case: Case) -> Dict[str, float]:
    """Like ``measure_here``, in a fresh process.

    Not in a fork: a forked process may hang in OpenMP, whose threads do not survive the fork.

    Raises:
        RuntimeError: if the process fails, with the last line that it said.
    """
    command = [sys.executable, '-m', 'mamba_cd_plugin.analysis.memory', json.dumps(asdict(case))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = result.stderr.strip().splitlines() or ['nothing said; a process that asks for too much memory is killed']
        raise RuntimeError(f'measuring the memory of {case.name!r} failed with exit status {result.returncode}: '
                           f'{said[-1]}')
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == '__main__':
    keep_freed_memory()
    sys.stdout.write(json.dumps(measure_here(Case(**json.loads(sys.argv[1])))) + '\n')
