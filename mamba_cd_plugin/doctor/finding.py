"""What a check of the doctor says."""
from dataclasses import dataclass

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
LEVELS = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """Something to know about an installation.

    Attributes:
        check: Which check it comes from.
        level: ``error``: something does not work; ``warning``: it is slow, or it was never tried; ``note``: good to
            know.
        message: What was found, and what was expected.
        remedy: The command that mends it, one a line.
    """

    check: str
    level: str
    message: str
    remedy: str
