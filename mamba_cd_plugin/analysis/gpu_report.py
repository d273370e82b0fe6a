"""What was found on a GPU: tables that are on disk as soon as a row is known, and the claims that do not hold."""
import json
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..io.files import whole_file

GRACE = 10.  # seconds that a row may take after its section's time


class _TimeIsUpError(BaseException):
    """A section's time is up within a row; no `except Exception` of what it calls may take this for a failure."""


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Raise _TimeIsUpError in here after so many seconds, where the system has such an alarm (Windows has none)."""
    if not hasattr(signal, 'setitimer'):
        yield
        return

    def stop(*_: Any) -> None:
        raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class GpuReport:
    """Rows by section, written anew to check_gpu.json and check_gpu.md after each row, so that a crash loses none.

    Args:
        folder: folder of the files, created if needed.
        seconds: time limit of all sections together; afterwards none is begun.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seconds = folder, seconds
        self.begin = time.monotonic()
        self.facts: dict[str, Any] = {}
        self.sections: dict[str, list[dict[str, Any]]] = {}
        self.notes: dict[str, str] = {}
        self.claims: list[tuple[str, bool]] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begin

    def add(self, section: str, **row: Any) -> None:
        """A row of a section's table, printed too."""
        self.sections.setdefault(section, []).append(row)
        print(f'[{self.elapsed:5.0f} s] {section}: ' + ', '.join(f'{k} {_text(v)}' for k, v in row.items()), flush=True)
        self.write()

    def claim(self, text: str, holds: bool) -> None:
        """Something that should hold here, and whether it does."""
        self.claims.append((text, bool(holds)))
        self.write()

    def run(self, name: str, section: Iterator[None], limit: float = 3600.) -> None:
        """Run a section to its end, until the time is up, or until it fails; what it has found so far stays.

        Args:
            limit: seconds for this section, so that a slow one leaves time for the others. After them, or where the
                report's own are up, it ends with its next row, or GRACE seconds later within a row.
        """
        start = self.elapsed
        if start > self.seconds:
            self.notes[name] = f'left out: {self.seconds:.0f} s were up'
            self.write()
            return
        end = min(start + limit, self.seconds)
        cut = (f'cut short: {self.seconds:.0f} s were up' if end == self.seconds else
               f'cut short: its {limit:.0f} s were up')
        try:
            with _interrupted_after(end - start + GRACE):
                for _ in section:
                    if self.elapsed > end:
                        self.notes[name] = cut
                        break
        except _TimeIsUpError:
            self.notes[name] = f'{cut}, within a row'
        except Exception as error:  # a GPU that runs out of memory in one section has others left to show
            self.notes[name] = f'FAILED: {type(error).__name__}: {str(error)[:600]}'
            self.claims.append((f'section {name} runs to its end', False))
            traceback.print_exc()
        self.notes[name] = f'{self.elapsed - start:.0f} s. {self.notes.get(name, "")}'.strip()
        print(f'[{self.elapsed:5.0f} s] {name} done: {self.notes[name]}', flush=True)
        self.write()

    def failures(self) -> list[str]:
        """The claims that do not hold."""
        return [text for text, holds in self.claims if not holds]

    def markdown(self) -> str:
        """All tables, then what does not hold."""
        lines = ['# GPU check', '', *(f'- {name}: {value}' for name, value in self.facts.items()), '']
        for name in dict.fromkeys([*self.sections, *self.notes]):
            lines += [f'## {name}', '', self.notes.get(name, 'running'), '']
            rows = self.sections.get(name, [])
            columns = list(dict.fromkeys(key for row in rows for key in row))
            if rows:
                lines += [f'| {" | ".join(columns)} |', f'|{" --- |" * len(columns)}']
                lines += [f'| {" | ".join(_text(row.get(column, "")) for column in columns)} |' for row in rows]
                lines.append('')
        lines += ['## What does not hold', '']
        lines += [f'- {text}' for text in self.failures()] or [f'Nothing: all {len(self.claims)} claims hold.']
        shortened = [name for name, note in self.notes.items() if 'cut short' in note or 'left out' in note]
        if shortened:
            lines += ['', f'Not checked, or not to the end: {", ".join(shortened)}.']
        return '\n'.join(lines) + '\n'

    def write(self) -> None:
        """Both files, each whole or not at all."""
        content = dict(facts=self.facts, sections=self.sections, notes=self.notes,
                       claims=[dict(text=text, holds=holds) for text, holds in self.claims])
        for name, text in (('check_gpu.json', json.dumps(content, indent=1)), ('check_gpu.md', self.markdown())):
            with whole_file(self.folder / name) as part:
                part.write_text(text)


def _text(value: Any) -> str:
    return f'{value:.3g}' if isinstance(value, float) else str(value)
