"""What processor this machine has."""
import platform
import re
from pathlib import Path


def read_processor() -> tuple[str, set[str]]:
    """Name and flags, from /proc/cpuinfo where there is one."""
    name = platform.processor() or platform.machine()
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return name, set()
    model = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
    flags = re.search(r'^(?:flags|Features)\s*:\s*(.+)$', text, re.MULTILINE)
    return model.group(1).strip() if model else name, set(flags.group(1).split()) if flags else set()
