"""Processor and memory of this machine. Imports no package at its top, because the doctor uses it too."""
import os
import platform
import re
from pathlib import Path


def read_processor() -> tuple[str, set[str]]:
    """Name and flags of the processor, from /proc/cpuinfo where there is one."""
    name = platform.processor() or platform.machine()
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return name, set()
    model = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
    flags = re.search(r'^(?:flags|Features)\s*:\s*(.+)$', text, re.MULTILINE)
    return model.group(1).strip() if model else name, set(flags.group(1).split()) if flags else set()


def machine_line() -> str:
    """The machine and the versions in one line."""
    import torch
    name, _ = read_processor()
    return f'{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}'


def resident(field: str) -> int:
    """Resident memory of this process in bytes: VmRSS now, VmHWM at most so far; 0 where there is no /proc."""
    status = Path('/proc/self/status')
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f'{field}:')), 0)
