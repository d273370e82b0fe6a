"""The sheet of error maps: which pairs, in which order, and the colours of their pixels, all known beforehand."""
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mamba_cd_plugin.analysis.ablation.error_sheet import GAP, write_error_sheet
from mamba_cd_plugin.analysis.ablation.plan import Trial
from mamba_cd_plugin.visualization.drawing import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_NEGATIVE, TRUE_POSITIVE

SIDE = 64
# The changed rows of each pair, and of what each run predicts: (first, stop).
TRUTH = dict(a=(0, 20), b=(10, 30), c=(0, 0), d=(40, 50))
PREDICTED = dict(good=dict(a=(0, 20), b=(10, 29), c=(0, 0), d=(40, 50)),
                 poor=dict(a=(5, 25), b=(30, 50), c=(0, 3), d=(40, 52)))


def band(rows: tuple) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[slice(*rows)] = 255
    return mask


def save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def runs(tmp_path: Path) -> list[Trial]:
    """Two finished runs that were tested on four pairs."""
    for index, (name, rows) in enumerate(TRUTH.items()):
        for folder, grey in (('A', 10), ('B', 20)):
            save(np.full((SIDE, SIDE, 3), grey + index, np.uint8), tmp_path / 'data/test' / folder / f'{name}.png')
        save(band(rows), tmp_path / f'data/test/label/{name}.png')
    dataset = dict(type='PairCDDataset', split='test', pipeline=[dict(type='Unread')])
    cfg = Config(dict(data_root=str(tmp_path / 'data'), test_dataloader=dict(dataset=dataset)))
    made = [Trial(name, 0, cfg, tmp_path / name) for name in PREDICTED]
    for run in made:
        for name, rows in PREDICTED[run.name].items():
            save(band(rows), run.masks / f'{name}.png')
    return made


def cells(sheet: np.ndarray, row_height: int, columns: int) -> list[list[np.ndarray]]:
    """The pictures of a sheet by row and column; text of 11 px stands in lines of 19."""
    step, top = SIDE + 2 + GAP, GAP + 19 + 1
    return [[sheet[y:y + SIDE, GAP + 1 + i * step:GAP + 1 + i * step + SIDE] for i in range(columns)]
            for y in range(top, sheet.shape[0] - row_height, row_height)]


def test_pairs_order_and_colours(runs: list[Trial], tmp_path: Path) -> None:
    file = tmp_path / 'sheet.png'
    assert write_error_sheet(runs, file, number=3)
    assert not Path(f'{file}.part').exists()
    table = cells(np.asarray(Image.open(file)), SIDE + 2 + 19 + GAP, 5)
    # Rows in error, good and poor: a 0 + 10, b 1 + 40, c 0 + 3, d 0 + 2. In order b, a, c, d; three of them evenly: the
    # first, the last, and of the two in the middle the one numpy rounds 1.5 to, the third.
    assert [int(row[0][5, 5, 0]) for row in table] == [11, 12, 13]
    assert [int(row[1][5, 5, 0]) for row in table] == [21, 22, 23]
    b = table[0]
    assert tuple(b[2][12, 3]) == TRUE_POSITIVE and tuple(b[2][31, 3]) == TRUE_NEGATIVE
    good, poor = b[3], b[4]
    assert {tuple(color) for color in good[10:29].reshape(-1, 3)} == {TRUE_POSITIVE}
    assert tuple(good[29, 0]) == FALSE_NEGATIVE and tuple(good[30, 0]) == TRUE_NEGATIVE
    assert {tuple(color) for color in poor[10:30].reshape(-1, 3)} == {FALSE_NEGATIVE}
    assert {tuple(color) for color in poor[30:50].reshape(-1, 3)} == {FALSE_POSITIVE}


def test_larger_images_are_reduced(runs: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mamba_cd_plugin.analysis.ablation.error_sheet.LARGEST_SIDE', SIDE // 2)
    assert write_error_sheet(runs, tmp_path / 'small.png', number=1)
    assert Image.open(tmp_path / 'small.png').width == 2 * GAP + 5 * (SIDE // 2 + 2) + 4 * GAP


def test_nothing_in_common_is_no_sheet(runs: list[Trial], tmp_path: Path) -> None:
    for file in runs[1].masks.iterdir():
        file.rename(file.with_stem(f'other_{file.stem}'))
    assert not write_error_sheet(runs, tmp_path / 'sheet.png')
    assert not write_error_sheet([], tmp_path / 'sheet.png')
    assert not (tmp_path / 'sheet.png').exists()
