"""The picture of a training."""
from pathlib import Path

import mmcv
import pytest
from matplotlib.axes import Axes

from mamba_cd_plugin.visualization.curves import draw_curves

LOSSES = {'loss': ([0.5, 1.], [1.2, 0.8]), 'decode.loss_focal': ([0.5, 1.], [0.2, 0.1])}
SCORES = {'changed_F1': ([1, 2, 3], [0.1, 0.856, 0.4]), 'changed_recall': ([1, 2, 3], [0.2, 0.3, 0.4])}


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
