"""Scores against numbers worked out by hand, alone and in two processes."""
import os
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from torch import Tensor

from mamba_cd_plugin.evaluation import ChangeMetric, binary_confusion, change_scores

# Truth and prediction with TP 3, FP 1, FN 2, TN 4 and two ignored pixels, on one of which change is predicted.
TRUTH = [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 255, 255]]
PREDICTION = [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]]
KEYS = ['changed_precision', 'changed_recall', 'changed_F1', 'changed_IoU', 'OA', 'Kappa']


def make_sample(prediction: list, truth: list | None, img_path: str = 'train/A/pair.png') -> SegDataSample:
    """A sample as mmseg's one-logit segmentors give it: the prediction as float (1, H, W)."""
    sample = SegDataSample(metainfo={'img_path': img_path})
    sample.pred_sem_seg = PixelData(data=torch.tensor([prediction], dtype=torch.float32))
    if truth is not None:
        sample.gt_sem_seg = PixelData(data=torch.tensor([truth]))
    return sample


def evaluate(samples: list[SegDataSample], **kwargs) -> dict[str, float]:
    """Score samples the way mmengine's loops do."""
    evaluator = Evaluator(ChangeMetric(**kwargs))
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_registered() -> None:
    assert METRICS.get('ChangeMetric') is ChangeMetric


def test_confusion_by_hand() -> None:
    confusion = binary_confusion(torch.tensor(PREDICTION), torch.tensor(TRUTH))
    assert confusion.tolist() == [[4, 1], [2, 3]]
    assert confusion.dtype == torch.int64


def test_scores_by_hand() -> None:
    scores = evaluate([make_sample(PREDICTION, TRUTH)])
    assert list(scores) == KEYS
    assert scores['changed_precision'] == pytest.approx(3 / 4)
    assert scores['changed_recall'] == pytest.approx(3 / 5)
    assert scores['changed_F1'] == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert scores['changed_IoU'] == pytest.approx(3 / 6)
    assert scores['OA'] == pytest.approx(7 / 10)
    # Chance agreement (5*4 + 5*6) / 100 = 0.5, so Kappa = (0.7 - 0.5) / (1 - 0.5).
    assert scores['Kappa'] == pytest.approx(0.4)


def test_one_matrix_over_all_images_not_a_mean_of_scores() -> None:
    scores = evaluate([make_sample([[1]], [[1]]), make_sample([[1, 1, 1, 1]], [[1, 0, 0, 0]])])
    assert scores['changed_F1'] == pytest.approx(2 * 2 / (2 * 2 + 3))


PERFECT = {'changed_precision': 1., 'changed_recall': 1., 'changed_F1': 1., 'changed_IoU': 1., 'OA': 1.}


@pytest.mark.parametrize(('prediction', 'truth', 'expected'), [
    pytest.param([[0, 0]], [[0, 0]], {'OA': 1.}, id='all background'),
    pytest.param([[1, 1]], [[1, 1]], PERFECT, id='all changed'),  # Kappa is 0/0 here
    pytest.param([[0, 0]], [[1, 0]], {'OA': 0.5}, id='nothing predicted'),
    pytest.param([[1, 1]], [[0, 0]], {}, id='nothing present'),
    pytest.param([[1, 0]], [[255, 255]], {}, id='all ignored'),
])
def test_zero_and_not_nan(prediction: list, truth: list, expected: dict[str, float]) -> None:
    assert evaluate([make_sample(prediction, truth)]) == {key: expected.get(key, 0.) for key in KEYS}


def test_kappa_does_not_overflow() -> None:
    pixels = 2**32
    assert change_scores(torch.tensor([[pixels, 0], [0, pixels]]))['Kappa'] == 1.


def test_prefix() -> None:
    assert 'whole/changed_F1' in evaluate([make_sample([[1]], [[1]])], prefix='whole')


def test_sizes_must_match() -> None:
    with pytest.raises(ValueError, match=r'pair\.png.*\(1, 2\).*\(1, 3\)'):
        evaluate([make_sample([[1, 0]], [[1, 0, 0]])])


def test_labels_must_be_mapped() -> None:
    with pytest.raises(ValueError, match=r'label.*1 pixels.*\[128\].*0 and 1'):
        evaluate([make_sample([[1, 0]], [[128, 0]])])


def test_predictions_must_be_thresholded() -> None:
    with pytest.raises(ValueError, match='prediction.*Threshold'):
        evaluate([make_sample([[0.3, 0]], [[1, 0]])])


def test_missing_label_is_named() -> None:
    with pytest.raises(KeyError, match=r'pair\.png.*format_only'):
        evaluate([make_sample([[1]], None)])


def test_masks_are_written(tmp_path: Path) -> None:
    evaluate([make_sample(PREDICTION, TRUTH, 'test/A/tile_3.jpg')], output_dir=str(tmp_path))
    mask = mmcv.imread(str(tmp_path / 'tile_3.png'), flag='unchanged')
    np.testing.assert_array_equal(mask, np.array(PREDICTION) * 255)


def test_format_only_needs_no_label(tmp_path: Path) -> None:
    assert evaluate([make_sample([[1]], None)], output_dir=str(tmp_path), format_only=True) == {}
    assert (tmp_path / 'pair.png').exists()


def test_format_only_needs_a_folder() -> None:
    with pytest.raises(ValueError, match='output_dir'):
        ChangeMetric(format_only=True)


def test_two_masks_never_share_a_file(tmp_path: Path) -> None:
    samples = [make_sample([[1]], [[1]], f'{city}/A/tile_0.png') for city in ('austin', 'kyiv')]
    with pytest.raises(ValueError, match=r'kyiv.*austin.*tile_0\.png'):
        evaluate(samples, output_dir=str(tmp_path))


def seeded_samples(count: int) -> list[Tensor]:
    """Predictions and truths of different rates, so that losing or repeating one sample shows."""
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(2, 6, 5, generator=generator) < (index + 1) / (count + 1)).long() for index in range(count)]


def score_in_process(rank: int, folder: str, indices: list[list[int]], count: int) -> None:
    """One of two processes: score every other sample, the last one twice."""
    torch.set_num_threads(1)
    os.chdir(folder)  # mmengine gathers through a temporary folder in the working folder
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    data = seeded_samples(count)
    evaluator = Evaluator(ChangeMetric())
    for index in indices[rank]:
        evaluator.process([make_sample(data[index][0].tolist(), data[index][1].tolist())])
    torch.save(evaluator.evaluate(count), Path(folder) / f'scores_{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    count = 5
    # As mmengine's DefaultSampler deals 5 samples to 2 processes: in turn, the first one again to fill up.
    indices = [[0, 2, 4], [1, 3, 0]]
    torch.multiprocessing.spawn(score_in_process, (str(tmp_path), indices, count), nprocs=2)
    alone = evaluate([make_sample(pair[0].tolist(), pair[1].tolist()) for pair in seeded_samples(count)])
    assert 0 < alone['changed_F1'] < 1
    for rank in range(2):
        assert torch.load(tmp_path / f'scores_{rank}.pt') == alone


def test_objects_are_counted_where_it_is_asked_for() -> None:
    truth = [[1, 1, 0, 1, 1], [1, 1, 0, 1, 1]]  # two objects
    grown_together = [[1, 1, 1, 1, 1], [1, 1, 0, 1, 1]]  # one of 9 pixels, IoU 4 / 9 with each of the two
    scores = evaluate([make_sample(truth, truth), make_sample(grown_together, truth)], objects=True)
    assert list(scores) == [*KEYS, 'object_precision', 'object_recall', 'object_F1']
    assert scores['object_precision'] == pytest.approx(2 / 3)
    assert scores['object_recall'] == pytest.approx(2 / 4)
    assert scores['object_F1'] == pytest.approx(2 * 2 / (3 + 4))


def test_predictions_in_bfloat16_are_scored_and_written_as_others_are(tmp_path: Path) -> None:
    sample = make_sample(PREDICTION, TRUTH)
    expected = evaluate([sample], objects=True)
    sample.pred_sem_seg.data = sample.pred_sem_seg.data.bfloat16()  # as a model under autocast gives it
    assert evaluate([sample], objects=True, output_dir=str(tmp_path)) == expected
    assert (mmcv.imread(tmp_path / 'pair.png', 'unchanged') == 255 * np.array(PREDICTION)).all()
