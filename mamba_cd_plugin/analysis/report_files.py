"""The result files of a measurement: Markdown, CSV and PNG."""
import csv
from pathlib import Path
from typing import Callable, Iterable, List, Sequence


def write_files(out_dir: Path, name: str, text: str, fields: Sequence[str], records: Iterable[dict],
                draw: Callable[[Path], None]) -> List[Path]:
    """Write ``name.md``, ``name.csv`` and ``name.png`` into a folder, which is created if needed.

    Args:
        out_dir: the folder.
        name: Name of the files without suffix.
        text: Content of the Markdown file.
        fields: columns of the CSV file.
        records: its rows.
        draw: writes the picture to the path that it gets.

    Returns:
        The three paths.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = [out_dir / f'{name}.{suffix}' for suffix in ('md', 'csv', 'png')]
    paths[0].write_text(text)
    with paths[1].open('w', newline='') as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(records)
    draw(paths[2])
    return paths
