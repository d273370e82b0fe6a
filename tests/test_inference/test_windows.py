import numpy as np
import pytest

from mamba_cd_plugin.inference.windows import RowStitcher, Span, WindowGrid, axis_spans, axis_weights


@pytest.mark.parametrize('size, expected', [
    (50, [(0, 50)]),
    (128, [(0, 128)]),
    (140, [(0, 140)]),  # 12 px more than a tile: aligned to 32, the last window starts at 0 and is longer
    (170, [(0, 128), (32, 170)]),
    (320, [(0, 128), (96, 224), (192, 320)]),
    (330, [(0, 128), (96, 224), (192, 330)]),
    (352, [(0, 128), (96, 224), (192, 320), (224, 352)]),
])
def test_spans(size, expected):
    assert axis_spans(size, 128, 32) == expected


def test_spans_of_a_model_of_fixed_size_are_all_of_one_length():
    assert axis_spans(300, 128, 32, align=1) == [(0, 128), (96, 224), (172, 300)]


@pytest.mark.parametrize('align', [1, 32])
@pytest.mark.parametrize('tile, overlap', [(128, 32), (96, 32), (64, 32)])
def test_weights_add_up_to_one_and_vanish_at_inner_borders(align, tile, overlap):
    for size in range(1, 500, 7):
        spans = axis_spans(size, tile, overlap, align)
        weights = axis_weights(spans, size, overlap, 8)
        total = np.zeros(size)
        for (start, stop), weight in zip(spans, weights):
            total[start:stop] += weight
            assert start % align == 0
            assert start == 0 or (weight[:8] == 0).all()
            assert stop == size or (weight[-8:] == 0).all()
        np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weights_by_hand():
    # Two spans that share 8 px, of which 2 on either side count nothing: in between the angle goes through 4 steps.
    left, right = axis_weights([Span(0, 16), Span(8, 24)], 24, 8, 2)
    ramp = np.sin(np.array([0.5, 1.5, 2.5, 3.5]) / 4 * np.pi / 2)**2
    np.testing.assert_allclose(right, [0, 0, *ramp, 1, 1, *np.ones(8)], atol=1e-6)
    np.testing.assert_allclose(left, right[::-1], atol=1e-6)


@pytest.mark.parametrize('tile, overlap', [(128, 2), (128, 80), (128, 40)])
def test_tile_and_overlap_that_do_not_fit(tile, overlap):
    with pytest.raises(ValueError, match=f'a tile of {tile} and an overlap of {overlap} pixels do not fit together'):
        WindowGrid(500, 500, tile, overlap)


def test_batches_hold_windows_of_one_shape():
    grid = WindowGrid(128, 330, 128, 32)
    assert list(grid.batches(4)) == [[0, 1], [2]]
    assert list(grid.batches(1)) == [[0], [1], [2]]


def test_stitcher_gives_back_what_all_windows_agree_on():
    grid = WindowGrid(300, 250, 96, 32)
    image = np.random.default_rng(0).random((300, 250), np.float32)
    stitcher, strips = RowStitcher(grid), []
    for row in range(len(grid.rows)):
        for column in range(len(grid.columns)):
            place = tuple(slice(*span) for span in grid.window(row, column))
            stitcher.add(column, image[place], image[place] > 0.5)
        strips.append(stitcher.finish_row())
    np.testing.assert_allclose(np.concatenate([values for values, _, _ in strips]), image, atol=1e-6)
    assert (np.concatenate([valid for _, valid, _ in strips]) == (image > 0.5)).all()
    assert [len(values) for values, _, _ in strips] == [64, 64, 64, 108]
