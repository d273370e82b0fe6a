"""One picture of one image pair: A | B | truth | prediction | error map, with scores and a legend."""
from typing import List, Optional, Tuple

import numpy as np
import torch

from ..evaluation import binary_confusion, change_scores
from ..io.pictures import IGNORE_INDEX
from .typography import FAINT, INK, PAPER, Color, beside, legend_strip, text_strip

# Not the customary red and green, which one man in twelve cannot tell apart: vermillion and sky blue of the palette of
# Okabe and Ito, distinct in every common kind of colour blindness and, by their lightness, in a grey print too.
FOUND: Color = (255, 255, 255)
UNCHANGED: Color = (0, 0, 0)
FALSE_ALARM: Color = (213, 94, 0)
MISSED: Color = (86, 180, 233)
IGNORED: Color = (128, 128, 128)
# The legend of an error map.
OUTCOMES = (('change found (TP)', FOUND), ('unchanged (TN)', UNCHANGED), ('false alarm (FP)', FALSE_ALARM),
            ('missed change (FN)', MISSED))

# Smaller images are enlarged by whole factors until the text above them fits.
MIN_SIDE = 192


def draw_change_panel(image_a: np.ndarray,
                      image_b: np.ndarray,
                      prediction: np.ndarray,
                      truth: Optional[np.ndarray] = None,
                      title: str = '',
                      ignore_index: int = IGNORE_INDEX) -> np.ndarray:
    """Put the images, the masks and what is right and wrong about them side by side.

    With a truth: A | B | truth | prediction | error map. Without: A | B | prediction | prediction over B.

    Args:
        image_a: The earlier image, uint8 RGB (H, W, 3).
        image_b: The later image, same shape.
        prediction: 0 or 1 per pixel (H, W).
        truth: 0, 1 or ``ignore_index`` per pixel (H, W).
        title: Printed first in the strip above the images, usually the name of the pair.
        ignore_index: Truth value of pixels without a label; they are grey.

    Returns:
        uint8 RGB picture. The images keep their resolution (very small ones are enlarged by a whole factor).

    Raises:
        ValueError: When the images and the masks differ in height or width.
    """
    _check_sizes(image_a, image_b, prediction, truth)
    if truth is None:
        columns = [('A (before)', image_a), ('B (after)', image_b), ('prediction', mask_picture(prediction)),
                   ('prediction over B', overlay_picture(image_b, prediction))]
        legend = [('predicted as changed', FALSE_ALARM)]
    else:
        columns = [('A (before)', image_a), ('B (after)', image_b), ('truth', mask_picture(truth, ignore_index)),
                   ('prediction', mask_picture(prediction)),
                   ('error map', error_picture(prediction, truth, ignore_index))]
        legend = list(OUTCOMES)
        if (truth == ignore_index).any():
            legend.append(('not labelled', IGNORED))
    return _compose(columns, [(title, INK, True), (_scores_text(prediction, truth, ignore_index), INK, False)], legend)


def mask_picture(mask: np.ndarray, ignore_index: int = IGNORE_INDEX) -> np.ndarray:
    """A mask in white (changed), black (unchanged) and grey (ignored), as RGB (H, W, 3)."""
    picture = np.zeros((*mask.shape, 3), dtype=np.uint8)
    picture[mask == 1] = FOUND
    picture[mask == ignore_index] = IGNORED
    return picture


def error_picture(prediction: np.ndarray, truth: np.ndarray, ignore_index: int = IGNORE_INDEX) -> np.ndarray:
    """The four outcomes in four colours and ignored pixels in grey, as RGB (H, W, 3)."""
    picture = mask_picture(truth, ignore_index)
    picture[(truth == 1) & (prediction == 0)] = MISSED
    picture[(truth == 0) & (prediction == 1)] = FALSE_ALARM
    return picture


def overlay_picture(image: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The image with the predicted pixels tinted by half, so that the building below can still be recognised."""
    picture = image.copy()
    changed = prediction == 1
    picture[changed] = (picture[changed] * 0.5 + np.array(FALSE_ALARM) * 0.5).astype(np.uint8)
    return picture


def _compose(columns: List[Tuple[str, np.ndarray]], title: list, legend: list) -> np.ndarray:
    """Stack title, headings, images and legend; every measure is a share of the image's shorter side."""
    zoom = -(-MIN_SIDE // min(columns[0][1].shape[:2]))
    columns = [(heading, picture.repeat(zoom, 0).repeat(zoom, 1)) for heading, picture in columns]
    side = min(columns[0][1].shape[:2])
    size, margin = max(11, round(side / 18)), max(6, side // 40)
    line = round(1.7 * size)

    headed = [_headed(heading, _framed(picture), line, size) for heading, picture in columns]
    body = beside(headed, margin)
    inner = body.shape[1]
    page = np.vstack([text_strip(inner, line, size, title), body, np.full((margin, inner, 3), PAPER, dtype=np.uint8),
                      legend_strip(inner, line, size, legend)])
    return np.pad(page, ((margin, margin), (margin, margin), (0, 0)), constant_values=PAPER[0])


def _headed(heading: str, picture: np.ndarray, line: int, size: int) -> np.ndarray:
    strip = text_strip(picture.shape[1], line, size, [(heading, FAINT, False)], centred=True)
    return np.vstack([strip, picture])


def _framed(picture: np.ndarray) -> np.ndarray:
    """The picture inside a grey line, without which a white mask would melt into the paper."""
    line = max(1, min(picture.shape[:2]) // 256)
    return np.pad(picture, ((line, line), (line, line), (0, 0)), constant_values=FAINT[0])


def _scores_text(prediction: np.ndarray, truth: Optional[np.ndarray], ignore_index: int) -> str:
    if truth is None:
        return f'    predicted as changed: {100 * (prediction == 1).mean():.1f} %'
    confusion = binary_confusion(torch.from_numpy(prediction), torch.from_numpy(truth), ignore_index)
    (_, fp), (fn, tp) = confusion.tolist()
    if fp + fn + tp == 0:
        return '    no change, and none predicted'
    scores = change_scores(confusion)
    total = int(confusion.sum())
    return (f"    F1 {100 * scores['changed_F1']:.1f}    precision {100 * scores['changed_precision']:.1f}"
            f"    recall {100 * scores['changed_recall']:.1f}    changed {100 * (fn + tp) / total:.1f} %, "
            f'predicted {100 * (fp + tp) / total:.1f} %')


def _check_sizes(image_a: np.ndarray, image_b: np.ndarray, prediction: np.ndarray,
                 truth: Optional[np.ndarray]) -> None:
    sizes = {'A': image_a.shape[:2], 'B': image_b.shape[:2], 'prediction': prediction.shape}
    if truth is not None:
        sizes['truth'] = truth.shape
    if len(set(sizes.values())) > 1:
        raise ValueError(f'The parts of one picture must have one height and width, but got {sizes}.')
