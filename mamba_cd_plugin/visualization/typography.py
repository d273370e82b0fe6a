"""Text, swatches and margins for pictures of any size, so that they read the same at 256 and at 1024 pixels."""
from functools import lru_cache
from pathlib import Path
from typing import Sequence, Tuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = Tuple[int, int, int]

PAPER: Color = (255, 255, 255)
INK: Color = (32, 32, 32)
FAINT: Color = (110, 110, 110)


@lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The DejaVu Sans that matplotlib brings along, so that no font needs to be installed.

    Args:
        size: Height of a line in pixels.
        bold: Its bold cut.
    """
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name), size)


def text_strip(width: int, height: int, size: int, spans: Sequence[Tuple[str, Color, bool]],
               centred: bool = False) -> np.ndarray:
    """One line of text on paper; it shrinks to the width if it must.

    Args:
        width: Of the strip, in pixels.
        height: Of the strip, in pixels.
        size: Of the letters, in pixels.
        spans: Pieces of the line, each with its colour and whether it is bold.
        centred: In the middle of the strip instead of at its left.

    Returns:
        uint8 RGB picture (height, width, 3).
    """
    strip = Image.new('RGB', (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    while size > 6 and _length(spans, size) > width:  # 6 px: smaller letters cannot be read at all
        size -= 1
    x = (width - _length(spans, size)) / 2 if centred else 0
    for text, color, bold in spans:
        draw.text((x, height / 2), text, fill=color, font=font(size, bold), anchor='lm')
        x += font(size, bold).getlength(text)
    return np.asarray(strip)


def legend_strip(width: int, height: int, size: int, entries: Sequence[Tuple[str, Color]]) -> np.ndarray:
    """Framed colour swatches, each with its meaning, in one line.

    Args:
        width: Of the strip, in pixels.
        height: Of the strip, in pixels.
        size: Of the letters and the swatches, in pixels.
        entries: Meaning and colour of each swatch.

    Returns:
        uint8 RGB picture (height, width, 3).
    """
    while size > 6 and _legend_length(entries, size) > width:
        size -= 1
    strip = Image.new('RGB', (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    x, top = 0.0, (height - size) / 2
    for meaning, color in entries:
        draw.rectangle((x, top, x + 1.6 * size, top + size), fill=color, outline=FAINT, width=max(1, size // 14))
        draw.text((x + 2.1 * size, height / 2), meaning, fill=INK, font=font(size), anchor='lm')
        x += 2.1 * size + font(size).getlength(meaning) + 1.5 * size
    return np.asarray(strip)


def beside(pictures: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Pictures of one height beside each other, with ``gap`` pixels of paper between them."""
    spacer = np.full((pictures[0].shape[0], gap, 3), PAPER, dtype=np.uint8)
    return np.hstack([part for picture in pictures for part in (spacer, picture)][1:])


def _length(spans: Sequence[Tuple[str, Color, bool]], size: int) -> float:
    return sum(font(size, bold).getlength(text) for text, _, bold in spans)


def _legend_length(entries: Sequence[Tuple[str, Color]], size: int) -> float:
    return sum(font(size).getlength(meaning) + 3.6 * size for meaning, _ in entries)
