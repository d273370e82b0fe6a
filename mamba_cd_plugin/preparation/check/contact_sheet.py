"""Pictures of pairs as the model gets them: A, B and the label after augmentation."""
from typing import NamedTuple

import numpy as np

from ...visualization.drawing import (
    FAINT,
    FALSE_POSITIVE,
    IGNORED,
    PAPER,
    TRUE_NEGATIVE,
    TRUE_POSITIVE,
    PictureCell,
    TextSpan,
    draw_page,
    enlarge,
    mask_picture,
    outline,
    text_size,
)

# Smaller pictures are enlarged by whole factors, so that single pixels can be seen and captions read.
_SMALLEST_SIDE = 160
# Pixels between pictures.
_GAP = 6


class Sample(NamedTuple):
    """A pair that went through a pipeline.

    Attributes:
        a, b: RGB images, (H, W, 3) uint8.
        label: 0, 1 or 255 per pixel, (H, W).
        caption: Text above the pictures.
    """

    a: np.ndarray
    b: np.ndarray
    label: np.ndarray
    caption: str


def sample_from(packed: dict, caption: str) -> Sample:
    """Take apart what ``PackSegInputs`` made of a pair.

    Args:
        packed: Output of the pipeline, with ``inputs`` (6, H, W) uint8 and ``data_samples``.
        caption: Text above the pictures.
    """
    pair = packed['inputs'].permute(1, 2, 0).numpy()
    label = packed['data_samples'].gt_sem_seg.data[0].numpy().astype(np.uint8)
    return Sample(pair[..., :3], pair[..., 3:], label, caption)


def draw_contact_sheet(samples: list[Sample], columns: int = 2) -> np.ndarray:
    """Put samples below and beside each other, each as A | B | label | B with the outline of the label.

    Args:
        samples: Samples of one size.
        columns: Samples in a row.

    Returns:
        uint8 RGB picture.

    Raises:
        ValueError: If there are none, or they differ in size.
    """
    sizes = {sample.a.shape[:2] for sample in samples}
    if len(sizes) != 1:
        shown = ', '.join(f'{width} x {height}' for height, width in sorted(sizes))
        raise ValueError(f'a sheet shows samples of one size, these have {shown or "none: there are no samples"}')
    strips = [_strip(sample) for sample in samples]
    strips += [np.full_like(strips[0], PAPER[0])] * (-len(strips) % columns)
    legend = [('changed', TRUE_POSITIVE), ('unchanged', TRUE_NEGATIVE), ('outline of changed', FALSE_POSITIVE)]
    if any((sample.label == 255).any() for sample in samples):
        legend.append(('ignored', IGNORED))
    rows = [[PictureCell(strip, framed=False) for strip in strips[start:start + columns]]
            for start in range(0, len(strips), columns)]
    return draw_page(rows, (), legend, text_size(enlarge(samples[0].a, _SMALLEST_SIDE)), 3 * _GAP, _GAP)


def _strip(sample: Sample) -> np.ndarray:
    """One sample with its caption above."""
    outlined = np.where(outline(sample.label == 1)[..., None], np.array(FALSE_POSITIVE, np.uint8), sample.b)
    pictures = {'A': sample.a, 'B': sample.b, 'label': mask_picture(sample.label), 'label over B': outlined}
    title = [TextSpan(sample.caption, bold=True), TextSpan(f'    {(sample.label == 1).mean():.1%} changed', FAINT)]
    return draw_page([[PictureCell(enlarge(picture, _SMALLEST_SIDE), heading, framed=False)
                       for heading, picture in pictures.items()]], title, gap=_GAP, margin=0)
