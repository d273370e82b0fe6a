"""Confusion matrix of a binary change map, and every score that follows from it."""

import torch
from torch import Tensor

from ..io.pictures import IGNORE_INDEX


def binary_confusion(prediction: Tensor, truth: Tensor, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Count the four outcomes of a change map: ``[[TN, FP], [FN, TP]]``, rows truth, columns prediction.

    Args:
        prediction: 0 (unchanged) or 1 (changed) per pixel, any shape, any dtype (mmseg's one-logit heads give float).
        truth: 0, 1 or ``ignore_index`` per pixel, same shape.
        ignore_index: Pixels with this truth are not counted, whatever was predicted there.

    Returns:
        int64 tensor (2, 2) on the CPU. Matrices of many images may simply be added.

    Raises:
        ValueError: When shapes differ, a prediction is not thresholded yet, or a label is neither 0, 1 nor ignored.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f'The prediction has shape {tuple(prediction.shape)} but the label {tuple(truth.shape)}: '
                         'they must be equal. Resize the prediction to the size of the label before scoring.')
    labelled = truth != ignore_index
    truth, prediction = truth[labelled], prediction[labelled].to(truth.device)
    _check_binary('The prediction', prediction, 'Threshold the logits first (the decode head does, by `threshold`).')
    _check_binary('The label', truth, f'Map the labels to 0 and 1 while loading; {ignore_index} marks ignored pixels.')
    outcome = truth.long() * 2 + prediction.long()
    return torch.bincount(outcome, minlength=4).reshape(2, 2).cpu()


def change_scores(confusion: Tensor) -> dict[str, float]:
    """Scores of one confusion matrix, each a fraction.

    Every 0/0 is 0, never NaN: a model that predicts no change has precision 0 and F1 0, so that it can never be chosen
    as the best one. This also holds where there is nothing to find: without any changed pixel in truth and prediction,
    precision, recall, F1, IoU and Kappa are 0 and only OA is 1.

    Args:
        confusion: ``[[TN, FP], [FN, TP]]`` as from :func:`binary_confusion`.

    Returns:
        ``changed_precision``, ``changed_recall``, ``changed_F1``, ``changed_IoU`` of the changed class, ``OA`` (overall
        accuracy), all in [0, 1], and ``Kappa`` (Cohen's, in [-1, 1]).
    """
    # Python integers: the products in Kappa pass 2**63 from 3e9 pixels on.
    (tn, fp), (fn, tp) = confusion.tolist()
    total = tn + fp + fn + tp
    by_chance = (tn + fp) * (tn + fn) + (fn + tp) * (fp + tp)
    return {
        'changed_precision': _ratio(tp, tp + fp),
        'changed_recall': _ratio(tp, tp + fn),
        'changed_F1': _ratio(2 * tp, 2 * tp + fp + fn),
        'changed_IoU': _ratio(tp, tp + fp + fn),
        'OA': _ratio(tn + tp, total),
        'Kappa': _ratio(total * (tn + tp) - by_chance, total * total - by_chance),
    }


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0


def _check_binary(what: str, values: Tensor, remedy: str) -> None:
    wrong = values[(values != 0) & (values != 1)]
    if wrong.numel():
        found = wrong.unique()[:5].tolist()
        raise ValueError(f'{what} must hold only 0 and 1, but {wrong.numel():,} pixels hold other values '
                         f'(such as {found}). {remedy}')
