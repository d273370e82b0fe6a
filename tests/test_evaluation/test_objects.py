"""Objects on maps that are small enough to count by eye."""
import numpy as np
import pytest

from mamba_cd_plugin.evaluation import ObjectCounts, add_objects, count_objects


def test_matches_by_hand() -> None:
    truth, prediction = np.zeros((2, 40, 40), np.uint8)
    truth[0:4, 0:4] = prediction[0:4, 0:4] = 1
    truth[4, 4] = 1  # touches the square by a corner: one object of 17 px, IoU 16 / 17
    truth[10:14, 0:4] = 1
    prediction[10:14, 2:6] = 1  # IoU 8 / 24: neither matches
    truth[20:24, 0:4] = 1
    prediction[20:24, 0:2] = 1  # exactly one half: no match
    truth[30:34, 0:4] = truth[30:34, 6:10] = 1
    prediction[30:34, 0:10] = 1  # two houses in one region of 40 px, IoU 16 / 40 each
    truth[0:4, 20:24] = 255
    prediction[0:4, 20:24] = 1  # where there is no ground truth nothing is predicted
    assert count_objects(prediction, truth) == ObjectCounts(matched=1, truth=5, predicted=4)


def test_a_region_without_ground_truth_is_cut_off() -> None:
    truth, prediction = np.zeros((2, 10, 10), np.uint8)
    truth[:, 5:] = 255
    truth[0:5, 0:5] = 1
    prediction[0:5, :] = 1  # half of it is not labelled
    assert count_objects(prediction, truth) == (1, 1, 1)


def test_scores() -> None:
    total = add_objects([ObjectCounts(3, 4, 6), ObjectCounts(0, 1, 0)])
    assert total == (3, 5, 6)
    assert (total.precision, total.recall, total.f1) == (0.5, 0.6, pytest.approx(2 * 0.5 * 0.6 / 1.1))
    nothing = add_objects([])
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)
    with pytest.raises(ValueError, match=r'shape \(2, 3\) but the label \(3, 2\)'):
        count_objects(np.zeros((2, 3)), np.zeros((3, 2)))
