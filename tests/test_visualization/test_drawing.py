"""The picture of a pair: colours at known pixels, sizes, titles, backends; and that of a training."""
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

from mamba_cd_plugin.visualization import ChangeVisualizer, draw_change_panel, drawing
from mamba_cd_plugin.visualization.curves import draw_curves
from mamba_cd_plugin.visualization.drawing import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_NEGATIVE,
    TRUE_POSITIVE,
)

# One pixel of each outcome, and one without a label on which change is predicted.
TRUTH = np.array([[1, 0, 0, 1, 255]], dtype=np.uint8)
PREDICTION = np.array([[1, 0, 1, 0, 1]], dtype=np.uint8)
OUTCOMES = [TRUE_POSITIVE, TRUE_NEGATIVE, FALSE_POSITIVE, FALSE_NEGATIVE, IGNORED]

LOSSES = {'loss': ([0.5, 1.], [1.2, 0.8]), 'decode.loss_focal': ([0.5, 1.], [0.2, 0.1])}
SCORES = {'changed_F1': ([1, 2, 3], [0.1, 0.856, 0.4]), 'changed_recall': ([1, 2, 3], [0.2, 0.3, 0.4])}


def pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An even red and an even green image."""
    a, b = np.zeros((2, height, width, 3), dtype=np.uint8)
    a[..., 0], b[..., 1] = 200, 150
    return a, b


def quarters(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction whose quarters are, row by row, TP, FP, FN, TN."""
    truth, prediction = np.zeros((2, side, side), dtype=np.uint8)
    half = side // 2
    truth[:, :half] = 1
    prediction[:half] = 1
    return truth, prediction


def has(panel: np.ndarray, color: tuple[int, int, int]) -> int:
    """Number of pixels of exactly this colour."""
    return int((panel == np.array(color, dtype=np.uint8)).all(axis=-1).sum())


def test_error_map_colours() -> None:
    assert drawing.error_picture(PREDICTION, TRUTH)[0].tolist() == [list(color) for color in OUTCOMES]


def test_outcome_colours_differ_in_lightness_too() -> None:
    """For a grey print and for every kind of colour blindness."""
    lightness = sorted(np.dot(color, (0.299, 0.587, 0.114)) for _, color in drawing.OUTCOMES)
    assert np.diff(lightness).min() > 30


def test_mask_colours() -> None:
    assert drawing.mask_picture(TRUTH)[0].tolist() == [
        list(color) for color in (TRUE_POSITIVE, TRUE_NEGATIVE, TRUE_NEGATIVE, TRUE_POSITIVE, IGNORED)]


def test_overlay_tints_only_what_is_predicted() -> None:
    _, image = pair(1, 5)
    overlay = drawing.overlay_picture(image, PREDICTION)
    assert overlay[0, 0].tolist() == [213 // 2, (94 + 150) // 2, 0]
    assert overlay[0, 1].tolist() == [0, 150, 0]


def test_outline() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:4, 2:6] = True  # touches the right border, which is no outline
    expected = mask.copy()
    expected[2, 3:6] = False
    assert (drawing.outline(mask) == expected).all()


@pytest.mark.parametrize('side', [256, 1024])
def test_images_keep_their_pixels(side: int) -> None:
    truth, prediction = quarters(side)
    panel = draw_change_panel(*pair(side, side), prediction, truth)
    assert has(panel, (200, 0, 0)) == side * side
    assert has(panel, (0, 150, 0)) == side * side
    # A quarter of the error map, and the swatch of the legend.
    assert side * side / 4 < has(panel, FALSE_NEGATIVE) < side * side / 4 * 1.05
    assert side * side / 4 < has(panel, FALSE_POSITIVE) < side * side / 4 * 1.05
    assert panel.dtype == np.uint8
    assert panel.shape[1] < 5.4 * side


def test_columns_stand_in_order() -> None:
    truth, prediction = quarters(256)
    panel = draw_change_panel(*pair(256, 256), prediction, truth)

    def column(color: tuple[int, int, int]) -> float:
        return float(np.median(np.nonzero((panel == color).all(axis=-1))[1])) / panel.shape[1]

    assert [int(5 * column(color)) for color in ((200, 0, 0), (0, 150, 0), FALSE_NEGATIVE)] == [0, 1, 4]
    middle = panel[panel.shape[0] // 2 - 40]  # a row in the upper half of the images
    truth_column, prediction_column = (middle[int((index + 0.5) / 5 * panel.shape[1]) + 40] for index in (2, 3))
    assert truth_column.tolist() == list(TRUE_NEGATIVE)
    assert prediction_column.tolist() == list(TRUE_POSITIVE)


def test_text_grows_with_the_images() -> None:
    heights = {}
    for side in (256, 1024):
        truth, prediction = quarters(side)
        heights[side] = draw_change_panel(*pair(side, side), prediction, truth, 'pair').shape[0] - side
    assert heights[1024] == pytest.approx(4 * heights[256], rel=0.1)


def test_small_images_are_enlarged_by_whole_factors() -> None:
    truth, prediction = quarters(32)
    panel = draw_change_panel(*pair(32, 32), prediction, truth)
    assert has(panel, (200, 0, 0)) == 192 * 192


def test_images_that_are_not_square() -> None:
    panel = draw_change_panel(*pair(192, 384), np.ones((192, 384), dtype=np.uint8))
    assert has(panel, (200, 0, 0)) == 192 * 384


def test_without_truth() -> None:
    _, prediction = quarters(256)
    panel = draw_change_panel(*pair(256, 256), prediction)
    assert has(panel, FALSE_NEGATIVE) == 0
    assert has(panel, (213 // 2, (94 + 150) // 2, 0)) == 256 * 128
    assert 4 * 256 < panel.shape[1] < 4.4 * 256


@pytest.mark.parametrize(('prediction', 'truth', 'text'), [
    (PREDICTION, TRUTH, 'F1 50.0    precision 50.0    recall 50.0    changed 50.0 %, predicted 50.0 %'),
    (np.zeros((1, 5), np.uint8), np.zeros((1, 5), np.uint8), 'no change, and none predicted'),
    (np.zeros((1, 5), np.uint8), TRUTH, 'F1 0.0'),
    (PREDICTION, None, 'predicted as changed: 60.0 %'),
])
def test_title_gives_the_scores_of_the_image(monkeypatch: pytest.MonkeyPatch, prediction: np.ndarray,
                                             truth: np.ndarray, text: str) -> None:
    lines = []
    original = drawing.text_strip
    monkeypatch.setattr(drawing, 'text_strip', lambda *args, **kwargs: lines.append(
        ''.join(span[0] for span in args[3])) or original(*args, **kwargs))
    draw_change_panel(*pair(1, 5), prediction, truth, title='val_007')
    assert any(line.startswith('val_007') and text in line for line in lines)


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"'prediction': \(1, 5\)"):
        draw_change_panel(*pair(2, 5), PREDICTION)


def make_sample(side: int, truth: bool = True) -> SegDataSample:
    """As mmseg's one-logit segmentors give it: a prediction of floats."""
    label, prediction = quarters(side)
    sample = SegDataSample()
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(prediction)[None].float())
    if truth:
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(label)[None].long())
    return sample


def build(tmp_path: Path, *backends: str) -> ChangeVisualizer:
    # mmengine keeps one visualizer per name.
    return VISUALIZERS.build({'type': 'ChangeVisualizer', 'name': str(tmp_path), 'save_dir': str(tmp_path),
                              'vis_backends': [{'type': name} for name in backends]})


def test_local_files_and_tensorboard_get_the_same_picture(tmp_path: Path) -> None:
    accumulators = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    visualizer = build(tmp_path, 'LocalVisBackend', 'TensorboardVisBackend')
    image = np.concatenate(pair(256, 256), axis=2)
    visualizer.add_datasample('val_pair', image, make_sample(256), step=3)
    visualizer.close()

    local = mmcv.imread(str(tmp_path / 'vis_data/vis_image/val_pair_3.png'), channel_order='rgb')
    np.testing.assert_array_equal(local, draw_change_panel(
        image[..., :3], image[..., 3:], quarters(256)[1], quarters(256)[0], 'val_pair'))
    events = accumulators.EventAccumulator(str(tmp_path / 'vis_data'), size_guidance={'images': 0}).Reload()
    event, = events.Images('val_pair')
    logged = mmcv.imfrombytes(event.encoded_image_string, channel_order='rgb')
    assert event.step == 3
    np.testing.assert_array_equal(logged, local)


def test_out_file_replaces_the_local_backend(tmp_path: Path) -> None:
    visualizer = build(tmp_path, 'LocalVisBackend')
    image = np.concatenate(pair(256, 256), axis=2)
    out_file = str(tmp_path / 'show' / 'pair.png')
    visualizer.add_datasample('pair', image, make_sample(256, truth=False), out_file=out_file)
    assert has(mmcv.imread(out_file, channel_order='rgb'), (200, 0, 0)) == 256 * 256
    assert not (tmp_path / 'vis_data').exists()


def test_truth_can_be_left_out(tmp_path: Path) -> None:
    visualizer = build(tmp_path, 'LocalVisBackend')
    visualizer.add_datasample('pair', np.concatenate(pair(64, 64), axis=2), make_sample(64), draw_gt=False)
    assert has(mmcv.imread(str(tmp_path / 'vis_data/vis_image/pair_0.png'), channel_order='rgb'), FALSE_NEGATIVE) == 0


def test_wrong_calls_are_named(tmp_path: Path) -> None:
    visualizer = build(tmp_path)
    with pytest.raises(ValueError, match=r'pair: expected.*\(64, 64, 3\)'):
        visualizer.add_datasample('pair', pair(64, 64)[0], make_sample(64))
    with pytest.raises(ValueError, match='pair: there is no prediction'):
        visualizer.add_datasample('pair', np.concatenate(pair(64, 64), axis=2), SegDataSample())


def test_best_epoch_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plotted = []
    original = Axes.plot
    monkeypatch.setattr(Axes, 'plot', lambda self, *args, **kwargs: plotted.append(
        (args, kwargs['label'])) or original(self, *args, **kwargs))
    draw_curves(LOSSES, SCORES, tmp_path / 'curves.png')
    assert ((2, pytest.approx(85.6)), 'best: 85.60 % in epoch 2') in plotted
    assert {label for _, label in plotted} >= {'loss', 'loss_focal', 'changed_F1', 'changed_recall'}


def test_picture_is_complete_and_alone(tmp_path: Path) -> None:
    draw_curves(LOSSES, SCORES, tmp_path / 'curves.png')
    assert mmcv.imread(str(tmp_path / 'curves.png')) is not None
    assert [file.name for file in tmp_path.iterdir()] == ['curves.png']


def test_before_the_first_validation(tmp_path: Path) -> None:
    draw_curves(LOSSES, {'changed_F1': ([], [])}, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').exists()
