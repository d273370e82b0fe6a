"""Pictures of pairs as the model gets them: A, B and the label after augmentation."""
from typing import NamedTuple

import numpy as np

from ...visualization.change_panel import FALSE_ALARM, mask_picture
from ...visualization.typography import FAINT, INK, PAPER, beside, legend_strip, text_strip

# Smaller pictures are enlarged by whole factors, so that single pixels can be seen and captions read.
_SMALLEST_SIDE = 160
# Pixels between pictures.
_GAP = 6


class Sample(NamedTuple):
    """A pair that went through a pipeline.

    Attributes:
        a, b: RGB images, (H, W, 3) uint8.
        label: 0, 1 or 255 per pixel, (H, W).
        caption: What it is.
    """

    a: np.ndarray
    b: np.ndarray
    label: np.ndarray
    caption: str


def sample_from(packed: dict, caption: str) -> Sample:
    """Take apart what ``PackSegInputs`` made of a pair.

    Args:
        packed: With ``inputs`` (6, H, W) uint8 and ``data_samples``.
        caption: What it is.
    """
    pair = packed['inputs'].permute(1, 2, 0).numpy()
    label = packed['data_samples'].gt_sem_seg.data[0].numpy().astype(np.uint8)
    return Sample(pair[..., :3], pair[..., 3:], label, caption)


def draw_contact_sheet(samples: list[Sample], columns: int = 2) -> np.ndarray:
    """Put samples below and beside each other, each as A | B | label | B with the outline of the label.

    Args:
        samples: Of one size.
        columns: Samples in a row.

    Returns:
        uint8 RGB picture.

    Raises:
        ValueError: If there are none, or they differ in size.
    """
    sizes = {sample.a.shape[:2] for sample in samples}
    if len(sizes) != 1:
        shown = ', '.join(f'{width} x {height}' for height, width in sorted(sizes))
        raise ValueError(f'a sheet shows samples of one size, these have {shown or "none, for there are none"}')
    strips = [_strip(sample) for sample in samples]
    strips += [np.full_like(strips[0], PAPER[0])] * (-len(strips) % columns)
    rows = [beside(strips[start:start + columns], 3 * _GAP) for start in range(0, len(strips), columns)]
    text = max(11, min(samples[0].a.shape[:2]) // 18)
    entries = [('changed', (255, 255, 255)), ('unchanged', (0, 0, 0)), ('outline of changed', FALSE_ALARM)]
    if any((sample.label == 255).any() for sample in samples):
        entries.append(('ignored', (128, 128, 128)))
    legend = legend_strip(rows[0].shape[1], 2 * text, text, entries)
    sheet = np.vstack([*rows, legend])
    return np.pad(sheet, ((_GAP, _GAP), (_GAP, _GAP), (0, 0)), constant_values=PAPER[0])


def _strip(sample: Sample) -> np.ndarray:
    """One sample with its caption above."""
    zoom = max(1, -(-_SMALLEST_SIDE // min(sample.a.shape[:2])))
    outlined = np.where(outline(sample.label == 1)[..., None], np.uint8(FALSE_ALARM), sample.b)
    pictures = [picture.repeat(zoom, 0).repeat(zoom, 1)
                for picture in (sample.a, sample.b, mask_picture(sample.label), outlined)]
    body = beside(pictures, _GAP)
    text = max(11, min(pictures[0].shape[:2]) // 18)
    share = f'    {(sample.label == 1).mean():.1%} changed    A | B | label | label over B'
    caption = text_strip(body.shape[1], 2 * text, text, [(sample.caption, INK, True), (share, FAINT, False)])
    return np.vstack([caption, body])


def outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that have a neighbour outside of it, above, below or beside them."""
    padded = np.pad(mask, 1, mode='edge')
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
