"""Run the tests of the C kernels with the kernels under a sanitizer of gcc: python tools/misc/sanitize.py thread

The runtime of a sanitizer has to be loaded before everything else, so the script starts itself again with LD_PRELOAD
and takes the variable away from its children: shells and compilers crash under the runtime of ThreadSanitizer. Reports
go to a file, where pytest does not swallow them; any report makes the exit status 1.
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / '.pytest_cache' / 'sanitize'
RUNTIMES = {'address': 'libasan.so', 'thread': 'libtsan.so', 'undefined': 'libubsan.so'}
# Leaks are not looked for: Python, torch and numpy keep memory until the process ends. ThreadSanitizer would end the
# child of a fork, which one test makes.
OPTIONS = {'address': 'detect_leaks=0', 'thread': 'die_after_fork=0', 'undefined': 'print_stacktrace=1'}
# With more the compiler takes minutes over the unrolled loops; for undefined behaviour, which is checked in each of
# their steps, with -O1 already. The last -O wins. No -march=native: the baseline's vectors have the most remainders.
LEVELS = {'address': '-O1', 'thread': '-O1', 'undefined': '-O0'}
WRAPPER = '''#!/bin/sh
case " $* " in *" -march=native "*) exit 1;; esac
exec gcc "$@" {level} -g -w -fsanitize={kind}
'''
# Torch runs on an OpenMP runtime whose barriers ThreadSanitizer does not see. No kernel of ours calls torch.
SUPPRESSIONS = 'race:libtorch_cpu.so\n'
TESTS = ('tests/test_ops/test_cpu_kernel.py', 'tests/test_ops/test_cross_selective_scan.py')


def find_library(name: str) -> str:
    """Path of a library of gcc.

    Raises:
        FileNotFoundError: If gcc does not have it.
    """
    found = subprocess.run(['gcc', f'-print-file-name={name}'], capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    if not Path(path).is_file():
        raise FileNotFoundError(f'gcc has no {name}; install the sanitizers of gcc (Debian: libgcc-12-dev)')
    return path


def start_again(kind: str, tests: list[str]) -> int:
    """This script under the runtime of a sanitizer; 1 for any report of it."""
    folder = FOLDER / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for report in folder.glob('found.*'):
        report.unlink()
    compiler = folder / 'cc'
    compiler.write_text(WRAPPER.format(kind=kind, level=LEVELS[kind]))
    compiler.chmod(0o700)
    options = f'{OPTIONS[kind]}:log_path={folder / "found"}'
    if kind == 'thread':
        (folder / 'suppressions').write_text(SUPPRESSIONS)
        options += f':suppressions={folder / "suppressions"}'
    # An exception that libstdc++ throws is looked up in it when the runtime starts, so that it has to be there too.
    preload = f'{find_library(RUNTIMES[kind])} {find_library("libstdc++.so.6")}'
    environment = dict(os.environ, LD_PRELOAD=preload, CC=str(compiler), MAMBA_CD_CACHE=str(folder),
                       ASAN_OPTIONS=options, TSAN_OPTIONS=options,
                       UBSAN_OPTIONS=options,
                       OMP_NUM_THREADS='2', PYTHONPATH=str(ROOT))
    status = subprocess.run([sys.executable, __file__, '--inside', kind, *tests], env=environment, cwd=ROOT,
                            check=False).returncode
    reports = [report.read_text(errors='replace') for report in sorted(folder.glob('found.*'))]
    print(f'{kind}: tests ended with {status}, {len(reports)} reports in {folder}')
    if reports:
        print(reports[0][:5000])
    return 1 if status or reports else 0


def run_tests(tests: list[str]) -> int:
    """The tests in this process; fails where the kernels are not there, whose tests would be skipped."""
    del os.environ['LD_PRELOAD']
    import pytest

    from mamba_cd_plugin.ops.cpu_kernel import probe_cpu_kernel
    usable, reason = probe_cpu_kernel()
    if not usable:
        print(reason)
        return 1
    return int(pytest.main(['-q', '-p', 'no:cacheprovider', *tests]))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('kind', choices=RUNTIMES)
    parser.add_argument('tests', nargs='*', default=TESTS)
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.exit(run_tests(args.tests) if args.inside else start_again(args.kind, list(args.tests)))
