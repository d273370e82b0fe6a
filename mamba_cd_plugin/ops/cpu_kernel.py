"""Compiles the C kernels of this package on first use, and loads them."""
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

import torch

SOURCE_DIR = Path(__file__).parent / 'csrc'
# The second set is for compilers or machines that refuse -march=native; vectors are then those of the baseline.
FLAG_SETS = (('-O3', '-march=native', '-fno-math-errno'), ('-O3', '-fno-math-errno'))
COMMON_FLAGS = ('-std=gnu11', '-shared', '-fPIC', '-pthread')
FUNCTIONS = ('cross_scan_forward', 'cross_scan_backward', 'selective_scan_forward', 'selective_scan_backward',
             'scan_use_openmp')
OPENMP_FUNCTIONS = ('GOMP_parallel', 'omp_get_thread_num', 'omp_get_num_threads')
INSTALL_HINT = 'install gcc or clang (Debian: apt install gcc; conda: conda install c-compiler), or set CC'

_lock = threading.Lock()


class KernelUnavailable(RuntimeError):
    """The C kernels cannot be built or loaded on this machine; the message says why and what to do."""


def find_compiler() -> list[str]:
    """Command of the C compiler: the variable CC, else cc, gcc or clang from the PATH.

    Raises:
        KernelUnavailable: If there is none.
    """
    for candidate in (os.environ.get('CC', ''), 'cc', 'gcc', 'clang'):
        command = shlex.split(candidate)
        if command and shutil.which(command[0]):
            return command
    raise KernelUnavailable(f'no C compiler found; {INSTALL_HINT}')


def _cpu_identity() -> str:
    """Properties of the processor that -march=native uses: a shared cache must not serve code of another machine."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return f'{platform.machine()} {platform.processor()}'
    wanted = ('model name', 'flags', 'Features', 'CPU part')
    return '\n'.join(sorted({line for line in lines if line.startswith(wanted)}))


def _build_key(compiler: list[str], sources: list[Path]) -> str:
    version = subprocess.run([*compiler, '--version'], capture_output=True, text=True, check=False).stdout
    parts = [shlex.join(compiler), version, _cpu_identity(), repr(FLAG_SETS), repr(COMMON_FLAGS)]
    parts += [f'{path.name}\n{path.read_text()}' for path in sources]
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:20]


def cache_dirs() -> list[Path]:
    """Folders to keep the library in, the preferred one first."""
    if os.environ.get('MAMBA_CD_CACHE'):
        preferred = Path(os.environ['MAMBA_CD_CACHE'])
    else:
        base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
        preferred = Path(base) / 'mamba_cd_plugin'
    user = os.getuid() if hasattr(os, 'getuid') else 0
    return [preferred, Path(tempfile.gettempdir()) / f'mamba_cd_plugin-{user}']


def _is_private(folder: Path) -> bool:
    """Whether only this user can write there: anybody else could plant a library."""
    status = folder.stat()
    owner = not hasattr(os, 'getuid') or status.st_uid == os.getuid()
    return owner and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def why_unusable(folder: Path) -> str:
    """Why the library cannot be kept in a folder; '' if it can."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return str(error)
    return '' if _is_private(folder) else 'others may write there, and could plant a library'


def _writable_dir() -> Path:
    for folder in cache_dirs():
        if not why_unusable(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix='mamba_cd_plugin-'))


def _compile(compiler: list[str], sources: list[Path], target: Path) -> None:
    """Build the library next to its place and move it there in one step: two processes may do so at once."""
    errors = []
    files = [str(path) for path in sources if path.suffix == '.c']
    for flags in FLAG_SETS:
        handle, scratch = tempfile.mkstemp(prefix=target.stem, suffix='.tmp', dir=target.parent)
        os.close(handle)
        command = [*compiler, *flags, *COMMON_FLAGS, '-o', scratch, *files]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                os.replace(scratch, target)
                return
            errors.append(f'{shlex.join(command)}\n{result.stderr.strip()[-1000:]}')
        except OSError as error:
            errors.append(f'{shlex.join(command)}\n{error}')
        finally:
            if os.path.exists(scratch):
                os.remove(scratch)
    raise KernelUnavailable('the C compiler failed:\n' + '\n'.join(errors))


def _share_torch_threads(library: ctypes.CDLL) -> None:
    """Let the kernels run on torch's own OpenMP threads; where they are not found, the kernels start their own."""
    try:
        # Looks the names up in what torch is linked against, whichever OpenMP runtime that is.
        torch_library = ctypes.CDLL(str(Path(torch.__file__).parent / 'lib' / 'libtorch_cpu.so'))
        functions = [ctypes.cast(getattr(torch_library, name), ctypes.c_void_p) for name in OPENMP_FUNCTIONS]
    except (OSError, AttributeError):
        return
    library.scan_use_openmp(*functions)


def _open(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for name in FUNCTIONS:
        getattr(library, name).restype = ctypes.c_int  # AttributeError where the function is missing
    _share_torch_threads(library)
    return library


def build_library() -> ctypes.CDLL:
    """Build the kernels unless the cache has them, and load them.

    Raises:
        KernelUnavailable: If there is no compiler, or it fails, or the result does not load.
    """
    compiler = find_compiler()
    sources = sorted(SOURCE_DIR.glob('*.[ch]'))
    name = f'scan-{_build_key(compiler, sources)}.so'
    for folder in cache_dirs():
        path = folder / name
        try:
            if path.is_file() and _is_private(folder):
                return _open(path)
        except (OSError, AttributeError):
            continue  # damaged, or on a file system that forbids execution: built again below
    path = _writable_dir() / name
    _compile(compiler, sources, path)
    try:
        return _open(path)
    except (OSError, AttributeError) as error:
        raise KernelUnavailable(f'{path} was built but does not load ({error}); '
                                'set MAMBA_CD_CACHE to a folder from which programs may run') from error


@cache
def _build_once() -> ctypes.CDLL | str:
    try:
        return build_library()
    except KernelUnavailable as error:
        return str(error)


def load_library() -> tuple[ctypes.CDLL | None, str]:
    """The loaded kernels and '', or None and the reason; tried once per process."""
    with _lock:
        result = _build_once()
    return (None, result) if isinstance(result, str) else (result, '')


def probe_cpu_kernel() -> tuple[bool, str]:
    """Whether the C kernels can be used on this machine, and if not, why."""
    library, reason = load_library()
    return library is not None, reason
