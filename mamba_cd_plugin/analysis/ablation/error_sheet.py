"""One picture of the error maps of all configs of an ablation on the same pairs."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmseg.registry import DATASETS
from PIL import Image

from ...datasets.data_root import with_data_root
from ...evaluation import binary_confusion, change_scores
from ...io.files import whole_file
from ...io.labels import read_label
from ...io.pictures import read_for_eye
from ...visualization.drawing import OUTCOMES, PictureCell, draw_page, error_picture, mask_picture
from .plan import Trial

# Pairs on the sheet: as many as fit on a screen, one below the other.
NUM_PAIRS = 6
# Larger images are reduced by a whole factor to at most this side, in pixels; nine columns are then 4,700 px wide.
LARGEST_SIDE = 512
# Between the pictures, in pixels.
GAP = 8


class TestedPair(NamedTuple):
    """A pair of the test set and its predictions; pixels are read when it is drawn.

    Attributes:
        info: The pair's files by the data set's keys.
        masks: Predicted masks, in the order of the trials.
        wrong: Number of wrong pixels of all trials together.
    """
    info: dict
    masks: list[Path]
    wrong: int


def write_error_sheet(trials: Sequence[Trial], out_file: str | Path, number: int = NUM_PAIRS) -> bool:
    """Draw some pairs, one per row: A | B | ground truth | error map and F1 of every trial.

    The pairs are spread evenly from the one on which all trials together have most pixels in error to the one with
    fewest, so that the sheet shows neither the best nor the worst alone.

    Args:
        trials: finished, tested on the same data, with their masks written; one per config.
        out_file: PNG.
        number: largest number of pairs.

    Returns:
        Whether there was anything to draw: trials on different test sets share no pair.
    """
    pairs = _find_pairs(trials)
    if not pairs:
        return False
    pairs.sort(key=lambda pair: (-pair.wrong, pair.info['img_path']))
    ranks = np.linspace(0, len(pairs) - 1, min(number, len(pairs))).round().astype(int)
    rows = [_row(pairs[rank]) for rank in ranks]
    names = ['A (before)', 'B (after)', 'ground truth', *(trial.name for trial in trials)]
    rows[0] = [cell._replace(heading=name) for cell, name in zip(rows[0], names)]
    page = draw_page(rows, legend=OUTCOMES, gap=GAP)
    with whole_file(out_file) as part:
        Image.fromarray(page).save(part, 'PNG')
    return True


def _find_pairs(trials: Sequence[Trial]) -> list[TestedPair]:
    """The pairs of the first trial's test set of which every trial has a mask."""
    if not trials:
        return []
    loader = with_data_root(trials[0].cfg.test_dataloader, trials[0].cfg.get('data_root'))
    dataset = DATASETS.build({**loader['dataset'], 'pipeline': []})
    masks: list[dict[str, Path]] = [{path.stem: path for path in trial.masks.glob('*.png')} for trial in trials]
    pairs = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        files = [found.get(Path(info['img_path']).stem) for found in masks]
        if not all(files):
            continue
        truth, predictions = _read(info, files)
        if all(prediction.shape == truth.shape for prediction in predictions):
            wrong = sum(int(((truth <= 1) & (prediction != truth)).sum()) for prediction in predictions)
            pairs.append(TestedPair(info, files, wrong))
    return pairs


def _read(info: dict, masks: Sequence[Path]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Ground truth and predictions of all trials, 0, 1 or 255 per pixel, (H, W)."""
    return read_label(info['seg_map_path'], info['ignore_value']), [read_label(str(mask)) for mask in masks]


def _row(pair: TestedPair) -> list[PictureCell]:
    truth, predictions = _read(pair.info, pair.masks)
    pictures = [read_for_eye(pair.info['img_path']), read_for_eye(pair.info['img_path2']), mask_picture(truth),
                *(error_picture(prediction, truth) for prediction in predictions)]
    share = f'{np.count_nonzero(truth == 1) / max(int(np.count_nonzero(truth <= 1)), 1):.1%} changed'
    captions = [Path(pair.info['img_path']).stem, '', share, *(_score(prediction, truth) for prediction in predictions)]
    factor = -(-max(truth.shape) // LARGEST_SIDE)
    return [PictureCell(np.asarray(Image.fromarray(picture).reduce(factor)), caption=caption)
            for picture, caption in zip(pictures, captions)]


def _score(prediction: np.ndarray, truth: np.ndarray) -> str:
    confusion = binary_confusion(torch.from_numpy(prediction), torch.from_numpy(truth))
    (_, fp), (fn, tp) = confusion.tolist()
    if tp + fn == 0:
        return f'{fp:,} px predicted' if fp else 'none predicted'
    return f"F1 {100 * change_scores(confusion)['changed_F1']:.1f}"
