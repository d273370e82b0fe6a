"""Outlines of buildings against buildings that were drawn as pixels."""
import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
shapely = pytest.importorskip('shapely')
pytest.importorskip('geopandas')

from rasterio import features  # noqa: E402  after the skips
from shapely import Point, Polygon, affinity, box  # noqa: E402

from mamba_cd_plugin.inference.outlines import OUTLINES, simplify_outline, square_outline  # noqa: E402
from mamba_cd_plugin.inference.outputs import OUTLINE_CHOICES  # noqa: E402

HOUSE = box(30, 40, 80, 70)
CORNER_HOUSE = shapely.union(box(30, 30, 80, 50), box(30, 30, 50, 90)).simplify(0)
TURNS = [5, 12, 17, 30, 45, 63]


def pixels(shape):
    """The outline of the pixels whose centres lie in a shape."""
    mask = features.rasterize([(shape, 1)], (120, 120), dtype='uint8')
    [(polygon, _)] = features.shapes(mask, mask=mask, connectivity=4)
    return shapely.geometry.shape(polygon)


def count(polygon):
    return len(polygon.exterior.coords) - 1


def test_a_staircase_becomes_its_diagonal_by_hand():
    # 40 steps of one pixel down from (0, 40) to (40, 0), of 40 + 39 + ... + 1 px; their middles are at x + y = 40.5.
    steps = [point for i in range(40) for point in ((i, 40 - i), (i + 1, 40 - i))]
    stairs = Polygon([(0, 0), *steps, (40, 0)])
    assert stairs.area == 820
    simple = simplify_outline(stairs)
    assert count(stairs) == 82
    assert simple.equals(Polygon([(0, 0), (0, 40), (1, 40), (1, 39.5), (39.5, 1), (40, 1), (40, 0)]))
    assert abs(simple.area - 820) <= 8.2


@pytest.mark.parametrize('turn', TURNS)
@pytest.mark.parametrize('shape', [HOUSE, CORNER_HOUSE])
def test_slanted_walls_are_straightened_within_half_a_pixel(shape, turn):
    steps = pixels(affinity.rotate(shape, turn))
    simple = simplify_outline(steps)
    assert count(simple) <= 0.7 * count(steps)
    assert abs(simple.area / steps.area - 1) <= 0.01
    assert shapely.hausdorff_distance(simple.boundary, steps.boundary) <= 0.5 + 1e-9


@pytest.mark.parametrize('turn', [0, *TURNS])
@pytest.mark.parametrize('shape', [HOUSE, CORNER_HOUSE])
def test_squared_it_is_the_building_that_was_drawn(shape, turn):
    drawn = affinity.rotate(shape, turn)
    squared = square_outline(pixels(drawn))
    assert count(squared) == count(shape)
    assert squared.area == pytest.approx(pixels(drawn).area)
    assert shapely.hausdorff_distance(squared.boundary, drawn.boundary) <= 1  # pixel
    edges = np.diff(np.asarray(squared.exterior.coords), axis=0)
    corners = np.abs((edges * np.roll(edges, 1, axis=0)).sum(axis=1))
    assert corners.max() < 1e-6 * squared.area  # neighbouring walls are at right angles


def test_what_has_right_angles_along_the_pixels_stays_as_it_is():
    court = Polygon(HOUSE.exterior.coords, [box(40, 50, 50, 60).exterior.coords])
    for change in (simplify_outline, square_outline):
        assert change(court).equals(court)
        assert change(box(3, 3, 4, 4)).equals(box(3, 3, 4, 4))


def test_a_round_pond_is_not_squared():
    pond = pixels(Point(60, 60).buffer(20))
    assert square_outline(pond).equals(simplify_outline(pond))
    assert count(simplify_outline(pond)) <= 0.6 * count(pond)


def test_whatever_the_shape_the_outline_is_valid_and_close():
    from scipy import ndimage
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((150, 150)), 2)
    mask = (noise > np.quantile(noise, 0.6)).astype(np.uint8)
    polygons = [shapely.geometry.shape(shape) for shape, _ in features.shapes(mask, mask=mask, connectivity=4)]
    assert len(polygons) > 20
    for polygon in polygons:
        for change in (simplify_outline, square_outline):
            outline = change(polygon)
            assert outline.is_valid and outline.geom_type == 'Polygon'
            assert abs(outline.area - polygon.area) <= 0.01 * polygon.area + 1e-9
            assert len(outline.interiors) == len(polygon.interiors)


def test_the_choices_are_known_without_the_extra():
    assert tuple(OUTLINES) == OUTLINE_CHOICES
