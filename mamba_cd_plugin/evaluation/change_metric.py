"""The metric of this package: scores of the changed class from one confusion matrix over all pixels."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS
from torch import Tensor

from ..io.files import OutputFolder
from ..io.pictures import IGNORE_INDEX
from .confusion import binary_confusion, change_scores
from .objects import ObjectCounts, add_objects, count_objects

# Of one image its confusion matrix (2, 2) and its ObjectCounts as a tuple, None where they are not counted. Plain
# tuples, since mmengine makes them of every other kind on their way between processes.
SampleResult = tuple[Tensor, tuple[int, int, int] | None]


@METRICS.register_module()
class ChangeMetric(BaseMetric):
    """Precision, recall, F1 and IoU of the changed class, overall accuracy and Cohen's Kappa.

    All images share ONE confusion matrix, so that a large image counts more than a small one and the scores are those
    of the change-detection literature, not a mean over images. Each sample adds one 2 x 2 matrix; the samples that a
    distributed sampler repeats to fill the last batch are dropped by mmengine, so any number of processes gives the
    same result. Where nothing is predicted or nothing is present a score is 0, not NaN (see :func:`change_scores`).

    The keys are ``changed_precision``, ``changed_recall``, ``changed_F1``, ``changed_IoU``, ``OA`` and ``Kappa``, as
    fractions; one line of the log shows them in percent. With ``objects`` there are also ``object_precision``,
    ``object_recall`` and ``object_F1``, at an IoU above 0.5 (see :func:`count_objects`), and a second line.

    Args:
        ignore_index: Truth value of the pixels that are not counted.
        output_dir: When set, every predicted mask is written there as ``<name of the image>.png``, 0 and 255.
        format_only: Only write the masks, for a test set without labels; no score is computed.
        objects: Whether changed objects are counted too; a few milliseconds for an image of 1024 x 1024.
        collect_device: 'cpu' or 'gpu', the device over which mmengine gathers the results of several processes.
        prefix: Put before each key, followed by a slash.
        collect_dir: Shared folder for gathering on the CPU; a temporary one in the working folder by default.
    """

    def __init__(self,
                 ignore_index: int = IGNORE_INDEX,
                 output_dir: str | None = None,
                 format_only: bool = False,
                 objects: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None,
                 collect_dir: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if format_only and output_dir is None:
            raise ValueError('ChangeMetric(format_only=True) writes masks and nothing else, but output_dir is not set: '
                             'name the folder for them.')
        self.ignore_index = ignore_index
        self.output_dir = output_dir
        self.format_only = format_only
        self.objects = objects
        self._written: dict[str, str] = {}
        self._outputs: OutputFolder | None = None
        self.confusion: Tensor | None = None
        """Matrix of the last evaluation, ``[[TN, FP], [FN, TP]]``; only in the main process."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add the confusion matrix of each sample and write its mask if requested.

        Args:
            data_batch: Not used.
            data_samples: ``SegDataSample`` dicts with ``pred_sem_seg`` and ``gt_sem_seg``, data (1, H, W).
        """
        for sample in data_samples:
            prediction = sample['pred_sem_seg']['data'].squeeze(0)
            if self.output_dir is not None:
                self._write_mask(prediction, sample)
            if self.format_only:
                continue
            if 'gt_sem_seg' not in sample:
                raise KeyError(f"No label came with {_name(sample)}: it cannot be scored. Add the labels and "
                               "dict(type='LoadAnnotations') to the pipeline, or set format_only=True.")
            truth = sample['gt_sem_seg']['data'].squeeze(0)
            try:
                confusion = binary_confusion(prediction, truth, self.ignore_index)
            except ValueError as error:
                raise ValueError(f'{_name(sample)}: {error}') from error
            objects = count_objects(_changed(prediction), truth.cpu().numpy(),
                                    self.ignore_index) if self.objects else None
            self.results.append((confusion, objects))

    def compute_metrics(self, results: list[SampleResult]) -> dict[str, float]:
        """Add up the counts of all samples and score the sum.

        Args:
            results: Results of :meth:`process`, one per sample.

        Returns:
            The scores as fractions, or nothing with ``format_only``.
        """
        if self.format_only:
            print_log(f'The predicted masks are in {self.output_dir}', logger='current')
            return {}
        self.confusion = sum((confusion for confusion, _ in results), torch.zeros(2, 2, dtype=torch.int64))
        scores = change_scores(self.confusion)
        print_log(summary_line(self.confusion, scores), logger='current')
        if self.objects:
            counts = add_objects([ObjectCounts(*objects) for _, objects in results])
            print_log(object_line(counts), logger='current')
            scores.update(object_precision=counts.precision, object_recall=counts.recall, object_F1=counts.f1)
        return scores

    def _write_mask(self, prediction: Tensor, sample: dict) -> None:
        source = _name(sample)
        stem = Path(source).stem
        # The same name again is normal (a repeated sample, a second evaluation); two sources for one file are not.
        if self._written.setdefault(stem, source) != source:
            raise ValueError(f'{source} and {self._written[stem]} would both be written as {stem}.png into '
                             f'{self.output_dir}. Test the folders one after the other, each with its own output_dir.')
        if self._outputs is None or self._outputs.folder != Path(self.output_dir):
            data = [Path(sample[key]).parent for key in ('img_path', 'img_path2', 'seg_map_path') if sample.get(key)]
            self._outputs = OutputFolder(self.output_dir, data, 'the folder of the predicted masks')
        mask = _changed(prediction) * np.uint8(255)
        with self._outputs.write(f'{stem}.png') as part:
            if not mmcv.imwrite(mask, str(part)):
                raise OSError(f'Could not write the mask {part}: is the folder writable and the disk not full?')


def summary_line(confusion: Tensor, scores: dict[str, float]) -> str:
    """One readable line: the scores in percent, and how much was changed and predicted as changed."""
    (_, fp), (fn, tp) = confusion.tolist()
    total = max(int(confusion.sum()), 1)  # max: no pixel at all is reported as 0 %, not as a division by zero
    percent = {key.replace('changed_', ''): f'{100 * value:.2f}' for key, value in scores.items()}
    return (f"Changed class: F1 {percent['F1']}  IoU {percent['IoU']}  precision {percent['precision']}  "
            f"recall {percent['recall']}  |  OA {percent['OA']}  Kappa {percent['Kappa']}  |  "
            f'changed {100 * (fn + tp) / total:.2f} % of {int(confusion.sum()):,} px, '
            f'predicted {100 * (fp + tp) / total:.2f} %')


def object_line(counts: ObjectCounts) -> str:
    """One readable line: the scores of objects in percent, and how many there are."""
    f1, precision, recall = (f'{100 * value:.2f}' for value in (counts.f1, counts.precision, counts.recall))
    return (f'Changed objects (IoU above 0.5): F1 {f1}  precision {precision}  recall {recall}  |  '
            f'{counts.truth:,} in truth, {counts.predicted:,} predicted, {counts.matched:,} matched')


def _name(sample: dict) -> str:
    return sample.get('img_path') or 'a sample without img_path'


def _changed(prediction: Tensor) -> np.ndarray:
    """Where change is predicted; NumPy has no bfloat16, which the prediction of a model in mixed precision has."""
    return (prediction != 0).cpu().numpy()
