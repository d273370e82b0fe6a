"""Where the configs of an ablation are right and wrong: the same pairs for all of them, in one picture."""
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Union

import numpy as np
import torch
from mmseg.registry import DATASETS
from PIL import Image

from ...datasets.data_root import with_data_root
from ...datasets.image_io import read_label, read_rgb
from ...evaluation import binary_confusion, change_scores
from ...visualization.change_panel import FALSE_ALARM, FOUND, MISSED, UNCHANGED, error_picture, mask_picture
from ...visualization.typography import FAINT, INK, PAPER, legend_strip, text_strip
from .plan import Run

# Pairs on the sheet: as many as fit on a screen, one below the other.
NUM_PAIRS = 6
# Larger images are reduced by a whole factor to at most this side, in pixels; nine columns are then 4,700 px wide.
LARGEST_SIDE = 512
# Between the pictures, in pixels.
GAP = 8
LEGEND = [('change found (TP)', FOUND), ('unchanged (TN)', UNCHANGED), ('false alarm (FP)', FALSE_ALARM),
          ('missed change (FN)', MISSED)]


class TestPair(NamedTuple):
    """A pair of the test set and what each config made of it.

    Attributes:
        info: The pair's files by the data set's keys.
        truth: 0, 1 or 255 per pixel, (H, W).
        predictions: 0 or 1 per pixel, (H, W), in the order of the runs.
    """
    info: dict
    truth: np.ndarray
    predictions: List[np.ndarray]

    @property
    def wrong(self) -> int:
        """Pixels in error, of all configs together."""
        labelled = self.truth <= 1
        return sum(int((labelled & (prediction != self.truth)).sum()) for prediction in self.predictions)


def write_error_sheet(runs: Sequence[Run], out_file: Union[str, Path], number: int = NUM_PAIRS) -> bool:
    """Draw some pairs, a row each: A | B | truth | error map of every run, with its F1 on this pair.

    The pairs are spread evenly from the one on which all runs together have most pixels in error to the one with
    fewest, so that the sheet shows neither the best nor the worst alone.

    Args:
        runs: finished, tested on the same data, with their masks written; one per config.
        out_file: PNG.
        number: of pairs at most.

    Returns:
        Whether there was anything to draw: runs on different test sets share no pair.
    """
    pairs = _read_pairs(runs)
    if not pairs:
        return False
    pairs.sort(key=lambda pair: (-pair.wrong, pair.info['img_path']))
    ranks = np.linspace(0, len(pairs) - 1, min(number, len(pairs))).round().astype(int)
    rows = [_row(pairs[rank]) for rank in ranks]
    head = _headings(['A (before)', 'B (after)', 'truth', *(run.name for run in runs)], rows[0].shape[1])
    text = max(11, head.shape[0] // 2)
    legend = legend_strip(rows[0].shape[1], 2 * text, text, LEGEND)
    # Pairs may differ in size, and so may the rows.
    width = max(row.shape[1] for row in rows)
    page = np.vstack([np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=PAPER[0])
                      for part in (head, *rows, legend)])
    part = Path(f'{out_file}.part')
    Image.fromarray(np.pad(page, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=PAPER[0])).save(part, 'PNG')
    os.replace(part, out_file)
    return True


def _read_pairs(runs: Sequence[Run]) -> List[TestPair]:
    """The pairs of the first run's test set of which every run has a mask."""
    if not runs:
        return []
    loader = with_data_root(runs[0].cfg.test_dataloader, runs[0].cfg.get('data_root'))
    dataset = DATASETS.build({**loader['dataset'], 'pipeline': []})
    masks: List[Dict[str, Path]] = [{path.stem: path for path in run.masks.glob('*.png')} for run in runs]
    pairs = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        files = [found.get(Path(info['img_path']).stem) for found in masks]
        if all(files):
            truth = read_label(info['seg_map_path'], info['ignore_value'])
            predictions = [(np.asarray(Image.open(file)) > 0).astype(np.uint8) for file in files]
            if all(prediction.shape == truth.shape for prediction in predictions):
                pairs.append(TestPair(info, truth, predictions))
    return pairs


def _row(pair: TestPair) -> np.ndarray:
    pictures = [read_rgb(pair.info['img_path']), read_rgb(pair.info['img_path2']), mask_picture(pair.truth),
                *(error_picture(prediction, pair.truth) for prediction in pair.predictions)]
    labelled = np.count_nonzero(pair.truth <= 1)
    share = f'{np.count_nonzero(pair.truth == 1) / max(labelled, 1):.1%} changed'
    captions = [Path(pair.info['img_path']).stem, '', share,
                *(_score(prediction, pair.truth) for prediction in pair.predictions)]
    factor = -(-max(pair.truth.shape) // LARGEST_SIDE)
    return _beside([_cell(np.asarray(Image.fromarray(picture).reduce(factor)), caption)
                    for picture, caption in zip(pictures, captions)])


def _cell(picture: np.ndarray, caption: str) -> np.ndarray:
    """A picture in a grey line, without which a white mask would melt into the paper, and its caption below."""
    framed = np.pad(picture, ((1, 1), (1, 1), (0, 0)), constant_values=FAINT[0])
    size = max(11, picture.shape[1] // 20)
    return np.vstack([framed, text_strip(framed.shape[1], 2 * size, size, [(caption, INK, False)], centred=True)])


def _headings(names: Sequence[str], width: int) -> np.ndarray:
    column = (width - (len(names) - 1) * GAP) // len(names)
    size = max(11, column // 18)
    return _beside([text_strip(column, 2 * size, size, [(name, INK, True)], centred=True) for name in names])


def _beside(cells: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((cells[0].shape[0], GAP, 3), PAPER[0], np.uint8)
    return np.hstack([part for cell in cells for part in (gap, cell)][1:])


def _score(prediction: np.ndarray, truth: np.ndarray) -> str:
    confusion = binary_confusion(torch.from_numpy(prediction), torch.from_numpy(truth))
    (_, fp), (fn, tp) = confusion.tolist()
    if tp + fn == 0:
        return f'{fp:,} px predicted' if fp else 'none predicted'
    return f"F1 {100 * change_scores(confusion)['changed_F1']:.1f}"
