"""The result files of a measurement: Markdown, CSV and PNG."""
import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..io.files import OutputFolder


def write_files(out_dir: Path, name: str, text: str, fields: Sequence[str], records: Iterable[dict],
                draw: Callable[[Path], None]) -> list[Path]:
    """Write ``name.md``, ``name.csv`` and ``name.png`` into a folder, which is created if needed.

    Args:
        out_dir: the folder.
        name: Name of the files without suffix.
        text: Content of the Markdown file.
        fields: columns of the CSV file.
        records: rows of the CSV file.
        draw: writes the picture to the path that it gets.

    Returns:
        The three paths.
    """
    outputs, names = OutputFolder(out_dir), file_names(name)
    with outputs.write(names[0]) as part:
        part.write_text(text, 'utf-8')
    with outputs.write(names[1]) as part, part.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(records)
    with outputs.write(names[2]) as part:
        draw(part)
    return [out_dir / file for file in names]


def file_names(name: str) -> list[str]:
    """The files of :func:`write_files`, for a guard before the measurement."""
    return [f'{name}.{suffix}' for suffix in ('md', 'csv', 'png')]
