"""Imports the stack, looks at the scan and runs the self-test, step by step.

``python -m mamba_cd_plugin.doctor.probe`` is a process of its own. Each step prints two lines of JSON to stdout, one
when it starts and one with what it found, so that the parent knows where a process ended that crashed. A step that
fails is the last.
"""
import importlib
import json
import os
import shlex
import subprocess
import sys
import time
from contextlib import redirect_stdout
from typing import Any, Callable


def look_at_torch() -> dict[str, Any]:
    """Version, build and threads of torch, and whether it can read numpy's arrays."""
    import numpy
    import torch
    torch.from_numpy(numpy.zeros(1))  # fails where torch was built for another major version of numpy
    cuda = torch.cuda.is_available()
    return dict(version=torch.__version__, cuda=torch.version.cuda or torch.version.hip, cuda_available=cuda,
                device=torch.cuda.get_device_name() if cuda else 'cpu', threads=torch.get_num_threads(),
                cpu=torch.backends.cpu.get_cpu_capability())


def look_at(module: str) -> Callable[[], dict[str, Any]]:
    """A step that imports a module and tells its version and place."""

    def step() -> dict[str, Any]:
        found = importlib.import_module(module)
        return dict(version=getattr(found, '__version__', ''), file=os.path.dirname(found.__file__ or ''))

    return step


def look_at_scan() -> dict[str, Any]:
    """The backends of the selective scan, the one that is used here, and what the C kernel needs."""
    import torch

    from mamba_cd_plugin.ops import available_backends, resolve_backend
    from mamba_cd_plugin.ops.cpu_kernel import KernelUnavailable, cache_dirs, find_compiler, why_unusable
    from mamba_cd_plugin.ops.mamba_kernel import INSTALL_COMMAND, load_mamba_kernel
    try:
        compiler = find_compiler()
    except KernelUnavailable:
        compiler = []
        version = ''
    else:
        answer = subprocess.run([*compiler, '--version'], capture_output=True, text=True, check=False)
        version = answer.stdout.partition('\n')[0]
    folder = cache_dirs()[0]
    return dict(chosen=resolve_backend('auto', 'cuda' if torch.cuda.is_available() else 'cpu'),
                unavailable={name: reason for name, (usable, reason) in available_backends().items() if not usable},
                compiler=shlex.join(compiler), compiler_version=version, cache=str(folder),
                cache_unusable=why_unusable(folder), mamba_kernel=load_mamba_kernel()[1], mamba_install=INSTALL_COMMAND)


def steps() -> dict[str, Callable[[], dict[str, Any]]]:
    """All steps in their order: each needs only what comes before it."""
    from .self_test import SelfTest
    test = SelfTest()
    return {
        'torch': look_at_torch,
        'mmengine': look_at('mmengine'),
        'scan': look_at_scan,
        'mmcv': look_at('mmcv'),
        'mmseg': look_at('mmseg'),
        'registration': look_at('mamba_cd_plugin.registration'),
        **{f'self-test: {name}': step for name, step in test.steps().items()},
    }


def say(step: str, **facts: Any) -> None:
    """One line for the parent."""
    print(json.dumps(dict(step=step, **facts)), flush=True)


def main() -> int:
    """Run the steps; exit status 1 if one fails."""
    for name, step in steps().items():
        say(name, started=True)
        start = time.perf_counter()
        try:
            with redirect_stdout(sys.stderr):  # what libraries print would mix with the lines
                facts = step()
        except Exception as error:  # the probe is there to find out which
            say(name, error=str(error) or repr(error), kind=type(error).__name__,
                missing=getattr(error, 'name', None) if isinstance(error, ModuleNotFoundError) else None)
            return 1
        say(name, seconds=round(time.perf_counter() - start, 2), **facts)
    return 0


if __name__ == '__main__':
    sys.exit(main())
