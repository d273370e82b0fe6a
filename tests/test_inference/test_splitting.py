"""Buildings that grew together, parted at the probability between them."""
import json

import numpy as np
import pytest
from scipy import ndimage

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')

from mamba_cd_plugin.inference.splitting import PixelPolygons, split_polygons, split_region  # noqa: E402

pytestmark = pytest.mark.filterwarnings('ignore::PendingDeprecationWarning')


def row(*values):
    """A region of three rows with these probabilities, in steps of 1/254."""
    steps = np.tile(np.array(values, np.uint8), (3, 1))
    return np.ones(steps.shape, bool), steps


def test_the_cut_is_at_the_bottom_of_the_valley():
    # Down gently from the left, up steeply to the right: the deepest pixel is the sixth and goes to either side.
    inside, steps = row(250, 250, 240, 220, 200, 180, 250, 250)
    labels = split_region(inside, steps, 0.95, 4)  # 0.95 * 254 = 241.3
    assert (labels == labels[0]).all()
    assert labels[0, :5].tolist() == [1] * 5 and labels[0, 6:].tolist() == [2] * 2


def test_a_flat_floor_is_shared_between_the_peaks():
    labels = split_region(*row(250, 250, 150, 150, 150, 150, 250, 250), 0.9, 4)
    assert labels[1].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


def test_what_stays_whole():
    peaks = 250, 250, 150, 250, 250
    assert split_region(*row(*peaks), 0.5, 1).max() == 1  # 150 is above one half
    assert split_region(*row(*peaks), 0.9, 7).max() == 1  # a peak has 6 px
    assert split_region(*row(*peaks), 0.9, 6).max() == 2
    assert split_region(*row(*peaks), 0.99, 1).max() == 1  # no peak


def test_parts_hold_every_pixel_once_and_are_connected():
    noise = ndimage.gaussian_filter(np.random.default_rng(1).random((120, 160)), 3)
    steps = np.clip((noise - 0.4) * 5 * 254, 0, 254).astype(np.uint8)
    labelled, _ = ndimage.label(steps > 100)
    region = labelled == np.bincount(labelled.ravel())[1:].argmax() + 1
    labels = split_region(region, steps, 0.6, 10)
    assert labels.max() > 3
    assert ((labels > 0) == region).all()
    for part in range(1, labels.max() + 1):
        assert ndimage.label(labels == part)[1] == 1
        assert ndimage.label((labels == part) & (steps >= 0.6 * 254))[0].max() >= 1  # each has a peak of its own


def test_a_split_polygon_has_the_pixels_and_the_probability_of_its_parts():
    _, steps = row(250, 250, 100, 250, 250)
    image = np.zeros((10, 20), np.uint8)
    image[4:7, 7:12] = steps
    whole = PixelPolygons(np.array([shapely.box(7, 4, 12, 7)]), np.array([15]), np.array([steps.sum() / 254]))
    parts = split_polygons(whole, lambda rows, columns: image[rows, columns], 0.9, np.array([2.]))
    assert sorted(parts.pixels.tolist()) == [6, 9]
    assert parts.sums.sum() == pytest.approx(steps.sum() / 254)
    assert parts.sums[parts.pixels == 6].tolist() == pytest.approx([6 * 250 / 254])
    assert shapely.union_all(parts.shapes).equals(whole.shapes[0])
    assert parts.shapes[0].intersection(parts.shapes[1]).geom_type == 'LineString'


def test_predict_parts_two_houses(tmp_path, inferencer, local_model, write_raster):
    local_model.forward = lambda pairs: np.abs(pairs[..., 0].astype(np.float32) - pairs[..., 3]) / 254
    a = np.zeros((200, 300, 3), np.uint8)
    b = a.copy()
    b[100:130, 100:200] = 240
    b[100:130, 149:151] = 100  # above the threshold of 0.2
    paths = [write_raster(tmp_path / f'{name}.tif', image) for name, image in zip('ab', (a, b))]
    found = {}
    for split in (None, 0.8):
        out = tmp_path / f'out{split}'
        inferencer(paths, out_dir=str(out), split=split, tile=128, overlap=32)
        found[split] = geopandas.read_file(out / 'a_polygons.gpkg')
        assert json.loads((out / 'a_summary.json').read_text())['polygons'] == len(found[split])
    assert len(found[None]) == 1
    assert found[0.8].id.tolist() == [1, 2]
    # 50 x 30 px of 0.25 m2 each, 0.08 % more on the ground.
    assert found[0.8].area_m2.tolist() == pytest.approx([375.3, 375.3], abs=0.1)
    assert shapely.union_all(found[0.8].geometry.values).equals(found[None].geometry[0])
    with pytest.raises(ValueError, match='split: expected a probability between 0 and 1, got 80'):
        inferencer(paths, out_dir=str(tmp_path / 'bad'), split=80)
