"""Pictures of image pairs, masks and errors: every picture of this package is a page of cells drawn here.

Pillow and numpy, not matplotlib: every pixel of an image must arrive unchanged, at any size, and a panel of 256 px
takes 8 ms, a figure of five matplotlib axes 101 ms.
"""
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..io.pictures import IGNORE_INDEX

Color = tuple[int, int, int]

PAPER: Color = (255, 255, 255)
INK: Color = (32, 32, 32)
FAINT: Color = (110, 110, 110)
# Not the customary red and green, which one man in twelve cannot tell apart: vermillion and sky blue of the palette of
# Okabe and Ito, distinct in every common kind of colour blindness and, by their lightness, in a grey print too.
TRUE_POSITIVE: Color = (255, 255, 255)
TRUE_NEGATIVE: Color = (0, 0, 0)
FALSE_POSITIVE: Color = (213, 94, 0)
FALSE_NEGATIVE: Color = (86, 180, 233)
IGNORED: Color = (128, 128, 128)
# The legend of an error map.
OUTCOMES = (('true positive', TRUE_POSITIVE), ('true negative', TRUE_NEGATIVE), ('false positive', FALSE_POSITIVE),
            ('false negative', FALSE_NEGATIVE))

# Smaller images are enlarged by whole factors until the text above them fits.
MIN_SIDE = 192
# Smaller letters, in pixels, cannot be read.
MIN_TEXT = 6


class TextSpan(NamedTuple):
    """A piece of a line of text."""
    text: str
    color: Color = INK
    bold: bool = False


class PictureCell(NamedTuple):
    """A picture of a page.

    Attributes:
        picture: uint8 RGB (H, W, 3).
        heading: Line above it.
        caption: Line below it.
        framed: Whether it is set inside a grey line, without which a white mask would melt into the paper.
    """
    picture: np.ndarray
    heading: str = ''
    caption: str = ''
    framed: bool = True


def draw_change_panel(image_a: np.ndarray,
                      image_b: np.ndarray,
                      prediction: np.ndarray,
                      truth: np.ndarray | None = None,
                      title: str = '',
                      ignore_index: int = IGNORE_INDEX) -> np.ndarray:
    """Draw the images, the masks and the error map side by side.

    With ground truth: A | B | ground truth | prediction | error map. Without: A | B | prediction | prediction over B.

    Args:
        image_a: The earlier image, uint8 RGB (H, W, 3).
        image_b: The later image, same shape.
        prediction: 0 or 1 per pixel (H, W).
        truth: 0, 1 or ``ignore_index`` per pixel (H, W).
        title: First words of the line above the images, usually the name of the pair.
        ignore_index: Value of ``truth`` for pixels without a label; they are grey.

    Returns:
        uint8 RGB picture. The images keep their resolution (very small ones are enlarged by a whole factor).

    Raises:
        ValueError: When the images and the masks differ in height or width.
    """
    _check_sizes(image_a, image_b, prediction, truth)
    columns = {'A (before)': image_a, 'B (after)': image_b}
    if truth is None:
        columns.update({'prediction': mask_picture(prediction),
                        'prediction over B': overlay_picture(image_b, prediction)})
        legend = [('predicted as changed', FALSE_POSITIVE)]
    else:
        columns.update({'ground truth': mask_picture(truth, ignore_index), 'prediction': mask_picture(prediction),
                        'error map': error_picture(prediction, truth, ignore_index)})
        legend = [*OUTCOMES, *([('not labelled', IGNORED)] if (truth == ignore_index).any() else [])]
    return draw_page([[PictureCell(enlarge(picture), heading) for heading, picture in columns.items()]],
                     [TextSpan(title, bold=True), TextSpan(f'    {_describe(prediction, truth)}')], legend)


def _describe(prediction: np.ndarray, truth: np.ndarray | None) -> str:
    """The scores of the changed class on this pair, in percent."""
    predicted = prediction == 1
    if truth is None:
        return f'predicted as changed: {100 * predicted.mean():.1f} %'
    changed, unchanged = truth == 1, truth == 0
    tp, fp, fn = (int(outcome.sum()) for outcome in (predicted & changed, predicted & unchanged, changed & ~predicted))
    total = int(changed.sum() + unchanged.sum())
    if tp + fp + fn == 0:
        return 'no change, and none predicted'
    precision, recall = tp / max(tp + fp, 1), tp / max(tp + fn, 1)
    return (f'F1 {200 * tp / (2 * tp + fp + fn):.1f}    precision {100 * precision:.1f}    recall {100 * recall:.1f}'
            f'    changed {100 * (tp + fn) / total:.1f} %, predicted {100 * (tp + fp) / total:.1f} %')


def _check_sizes(image_a: np.ndarray, image_b: np.ndarray, prediction: np.ndarray,
                 truth: np.ndarray | None) -> None:
    sizes = {'A': image_a.shape[:2], 'B': image_b.shape[:2], 'prediction': prediction.shape}
    if truth is not None:
        sizes['ground truth'] = truth.shape
    if len(set(sizes.values())) > 1:
        raise ValueError(f'The parts of one picture must have one height and width, but got {sizes}.')


def mask_picture(mask: np.ndarray, ignore_index: int = IGNORE_INDEX) -> np.ndarray:
    """A mask in white (changed), black (unchanged) and grey (ignored), as RGB (H, W, 3)."""
    picture = np.zeros((*mask.shape, 3), dtype=np.uint8)
    picture[mask == 1] = TRUE_POSITIVE
    picture[mask == ignore_index] = IGNORED
    return picture


def error_picture(prediction: np.ndarray, truth: np.ndarray, ignore_index: int = IGNORE_INDEX) -> np.ndarray:
    """The four outcomes in four colours and ignored pixels in grey, as RGB (H, W, 3)."""
    picture = mask_picture(truth, ignore_index)
    picture[(truth == 1) & (prediction == 0)] = FALSE_NEGATIVE
    picture[(truth == 0) & (prediction == 1)] = FALSE_POSITIVE
    return picture


def overlay_picture(image: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The image with the predicted pixels tinted by half, so that the building below can still be recognised."""
    picture = image.copy()
    changed = prediction == 1
    picture[changed] = (picture[changed] * 0.5 + np.array(FALSE_POSITIVE) * 0.5).astype(np.uint8)
    return picture


def outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that have a neighbour outside of it, above, below or beside them."""
    padded = np.pad(mask, 1, mode='edge')
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def enlarge(picture: np.ndarray, min_side: int = MIN_SIDE) -> np.ndarray:
    """A picture repeated by a whole factor until its shorter side has ``min_side`` pixels."""
    zoom = max(1, -(-min_side // min(picture.shape[:2])))
    return picture.repeat(zoom, 0).repeat(zoom, 1)


def text_size(picture: np.ndarray) -> int:
    """Height in pixels of letters that read the same beside a picture of any size."""
    return max(11, round(min(picture.shape[:2]) / 18))


def draw_page(rows: Sequence[Sequence[PictureCell]],
              title: Sequence[TextSpan] = (),
              legend: Sequence[tuple[str, Color]] = (),
              size: int | None = None,
              gap: int | None = None,
              margin: int | None = None) -> np.ndarray:
    """Set rows of pictures on paper, a title above and a legend below.

    Args:
        rows: Cells, those of a row of equal height; rows may differ in width.
        title: Title of one line, shrunk to the width of the page.
        legend: Meaning and colour of each swatch.
        size: Height of the text in pixels; by default a share of the first picture's shorter side.
        gap: Pixels between the pictures of a row; by default a share of that side too.
        margin: Pixels around the page; by default the gap.

    Returns:
        uint8 RGB picture, in which every picture keeps its pixels.
    """
    first = rows[0][0].picture
    size = text_size(first) if size is None else size
    gap = max(6, min(first.shape[:2]) // 40) if gap is None else gap
    margin = gap if margin is None else margin
    line = round(1.7 * size)
    parts: list[np.ndarray] = []
    for cells in rows:
        if parts:
            parts.append(np.full((gap, 1, 3), PAPER, np.uint8))
        headed, captioned = (any(getattr(cell, key) for cell in cells) for key in ('heading', 'caption'))
        parts.append(beside([_draw_cell(cell, size, line, headed, captioned) for cell in cells], gap))
    width = max(part.shape[1] for part in parts)
    if title:
        parts.insert(0, text_strip(width, line, size, title))
    if legend:
        parts += [np.full((gap, 1, 3), PAPER, np.uint8), legend_strip(width, line, size, legend)]
    page = np.vstack([np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=PAPER[0])
                      for part in parts])
    return np.pad(page, ((margin, margin), (margin, margin), (0, 0)), constant_values=PAPER[0])


def _draw_cell(cell: PictureCell, size: int, line: int, headed: bool, captioned: bool) -> np.ndarray:
    frame = max(1, min(cell.picture.shape[:2]) // 256) if cell.framed else 0
    picture = np.pad(cell.picture, ((frame, frame), (frame, frame), (0, 0)), constant_values=FAINT[0])
    above, below = (text_strip(picture.shape[1], line, size, [TextSpan(text, color)], centred=True)
                    for text, color in ((cell.heading, FAINT), (cell.caption, INK)))
    return np.vstack([*([above] if headed else []), picture, *([below] if captioned else [])])


def beside(pictures: Sequence[np.ndarray], gap: int, paper: Sequence[int] = PAPER) -> np.ndarray:
    """Pictures of one height side by side, ``gap`` pixels of paper in between; RGB or RGBA, as ``paper`` is."""
    spacer = np.full((pictures[0].shape[0], gap, len(paper)), paper, dtype=np.uint8)
    return np.hstack([part for picture in pictures for part in (spacer, picture)][1:])


@lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it, so that no font needs to be installed.

    Args:
        size: Height of a line in pixels.
        bold: Whether to use the bold face.
    """
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name), size)


def text_strip(width: int, height: int, size: int, spans: Sequence[TextSpan], centred: bool = False) -> np.ndarray:
    """One line of text on paper, (height, width, 3); it shrinks to the width if it must."""
    strip = Image.new('RGB', (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    size = _shrink(size, width, lambda smaller: sum(font(smaller, span.bold).getlength(span.text) for span in spans))
    length = sum(font(size, span.bold).getlength(span.text) for span in spans)
    x = (width - length) / 2 if centred else 0
    for text, color, bold in spans:
        draw.text((x, height / 2), text, fill=color, font=font(size, bold), anchor='lm')
        x += font(size, bold).getlength(text)
    return np.asarray(strip)


def legend_strip(width: int, height: int, size: int, entries: Sequence[tuple[str, Color]]) -> np.ndarray:
    """Framed colour swatches, each with its meaning, in one line, (height, width, 3)."""
    size = _shrink(size, width, lambda smaller: sum(font(smaller).getlength(meaning) + 3.6 * smaller
                                                    for meaning, _ in entries))
    strip = Image.new('RGB', (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    x, top = 0.0, (height - size) / 2
    for meaning, color in entries:
        draw.rectangle((x, top, x + 1.6 * size, top + size), fill=color, outline=FAINT, width=max(1, size // 14))
        draw.text((x + 2.1 * size, height / 2), meaning, fill=INK, font=font(size), anchor='lm')
        x += 2.1 * size + font(size).getlength(meaning) + 1.5 * size
    return np.asarray(strip)


def _shrink(size: int, width: int, length: Callable[[int], float]) -> int:
    """The largest size of the letters, not above ``size``, at which a line is at most ``width`` pixels long."""
    while size > MIN_TEXT and length(size) > width:
        size -= 1
    return size
