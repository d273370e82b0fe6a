"""What Linux says of other processes under /proc."""
import os
from pathlib import Path

ENDED = 'ZX'  # states of a process that has ended and is still listed


def descendants(process: int) -> list[int]:
    """The children of a process, its own first, then theirs.

    Raises:
        FileNotFoundError, ProcessLookupError: If one of them ends meanwhile.
    """
    own = [int(child) for task in Path(f'/proc/{process}/task').iterdir()
           for child in (task / 'children').read_text().split()]
    return own + [grandchild for child in own for grandchild in descendants(child)]


def is_running(process: int) -> bool:
    """Whether a process runs. One that has ended may still be listed: some containers' init takes a second to take
    note of it."""
    try:
        return _fields(process)[0] not in ENDED
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False


def group_is_running(group: int) -> bool:
    """Whether a process of a group runs."""
    for path in Path('/proc').glob('[0-9]*'):
        try:
            state, _, its_group = _fields(int(path.name))[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state not in ENDED:
            return True
    return False


def cpu_seconds(process: int) -> float:
    """Processor time of a process, also where it has ended and was not waited for.

    Raises:
        FileNotFoundError, ProcessLookupError: If it is not listed.
    """
    user, system = _fields(process)[11:13]
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


def _fields(process: int) -> list[str]:
    """The fields of proc(5)'s stat from the third on: state, parent, group and so on."""
    return Path(f'/proc/{process}/stat').read_text().rsplit(')', 1)[1].split()
