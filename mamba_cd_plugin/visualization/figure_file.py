"""Writing a figure."""
import os
from pathlib import Path
from typing import Union

from matplotlib.figure import Figure


def save_figure(figure: Figure, out_file: Union[str, Path]) -> None:
    """Write a PNG, which is replaced as a whole: a reader sees the old picture or the new one."""
    part = Path(f'{out_file}.part')
    figure.savefig(part, format='png')
    os.replace(part, out_file)
