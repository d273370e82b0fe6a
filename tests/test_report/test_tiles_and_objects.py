"""Tiles and objects on maps that are small enough to count by eye."""
import numpy as np
import pytest

from mamba_cd_plugin.report.levels import Counts
from mamba_cd_plugin.report.objects import by_size, find_objects, join, size_labels
from mamba_cd_plugin.report.results import MIN_SCENES, scenes
from mamba_cd_plugin.report.tiles import Tile, best, cut, disagreements, spread, windows, worst


def tile(name: str, tp: int, fp: int, fn: int, tn: int = 900) -> Tile:
    return Tile(0, name, slice(0, 1), slice(0, 1), Counts(tp, fp, fn, tn))


def test_windows_cover_every_pixel_once() -> None:
    covered = np.zeros((50, 70), int)
    for rows, columns in windows(covered.shape, 32):
        covered[rows, columns] += 1
    assert (covered == 1).all()


def test_cut_by_hand() -> None:
    truth, prediction = np.zeros((4, 4), np.uint8), np.zeros((4, 4), bool)
    truth[0, :3] = 1
    truth[3, 3] = 255
    prediction[0, :2] = prediction[1, 1] = prediction[3, 3] = True
    tiles = cut(7, 'x', truth, prediction, 2)
    assert [tuple(one.counts) for one in tiles] == [(2, 1, 0, 1), (0, 0, 1, 3), (0, 0, 0, 4), (0, 0, 0, 3)]
    first = tiles[0]
    assert (first.image, first.wrong, first.changed, first.pixels, first.f1) == (7, 1, 2, 4, 0.8)


def test_ranking() -> None:
    # Little change does not make an example of a good result, and a clean tile is none of a bad one.
    tiles = [tile('good', 90, 5, 5), tile('costly', 500, 100, 100), tile('small miss', 0, 0, 3), tile('clean', 0, 0, 0),
             tile('tiny but perfect', 5, 0, 0, 995), tile('poor', 10, 20, 60)]
    assert [one.name for one in worst(tiles, 9)] == ['costly', 'poor', 'good', 'small miss']
    assert [one.name for one in best(tiles, 2)] == ['good', 'costly']
    assert [one.name for one in spread(tiles, 2)] == ['good', 'poor']
    assert spread([tile('clean', 0, 0, 0)], 3) == []
    others = [tile('good', 90, 5, 6), tile('costly', 500, 10, 100), *tiles[2:]]
    assert [(a.wrong, b.wrong) for a, b in disagreements(tiles, others, 5)] == [(200, 110), (10, 11)]


def test_objects_by_hand() -> None:
    truth, prediction = np.zeros((60, 60), np.uint8), np.zeros((60, 60), bool)
    truth[0:9, 0:11] = 1  # 99 px: below 10²; 44 of them predicted: not found
    prediction[0:4, 0:11] = True
    truth[20:30, 0:10] = 1
    truth[30, 10] = 1  # touches the square by a corner only: one object of 101 px, 10² to 20²
    prediction[20:30, 5:10] = prediction[29, 4] = True  # 51 of them: found, and what is predicted is right
    prediction[40:60, 40:60] = True  # a false alarm of 400 px, less one that is not labelled: 10² to 20²
    truth[45, 45] = 255
    scores = by_size(find_objects(truth, prediction))
    assert size_labels() == ['below 10²', '10² to 20²', '20² to 40²', '40² to 80²', '80² and more']
    assert [(s.objects, s.found, s.predicted, s.right) for s in scores] == [
        (1, 0, 2, 2), (1, 1, 1, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)]
    assert [s.pixel_recall for s in scores[:3]] == pytest.approx([44 / 99, 51 / 101, 0])
    assert scores[0].object_precision == 1 and scores[2].object_recall == 0


def test_objects_of_many_images_add_up() -> None:
    square = np.zeros((20, 20), np.uint8)
    square[:15, :15] = 1
    one = find_objects(square, square == 1)
    assert by_size(join([one, one]))[1][1:] == (2, 2, 1., 2, 2)


def test_scenes_of_tiles() -> None:
    names = [f'test_{scene}_{row}_0' for scene in range(MIN_SCENES) for row in range(2)]
    assert scenes(names, are_tiles=True) == [f'test_{scene}' for scene in range(MIN_SCENES) for _ in range(2)]
    assert scenes(names, are_tiles=False) == names
    assert scenes(names[:4], are_tiles=True) == names[:4]  # two scenes are too few to draw from
    assert scenes([*names, 'odd'], are_tiles=True) == [*names, 'odd']
