"""The files of a prediction, opened with what users open them with."""
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.cli.main import main

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')

from mamba_cd_plugin.inference.job import NODATA  # noqa: E402  after the skips

SMALL = dict(tile=128, overlap=32)


def test_everything_lies_on_the_grid_of_a(tmp_path, inferencer, pair, local_model):
    out = tmp_path / 'out'
    summary = inferencer(pair, out_dir=str(out), probability='float32', **SMALL)['predictions'][0]
    assert sorted(path.name for path in out.glob('[!.]*')) == [
        'a_mask.tif', 'a_overview.png', 'a_polygons.gpkg', 'a_probability.tif', 'a_summary.json']
    with rasterio.open(pair[0]) as a, rasterio.open(out / 'a_mask.tif') as mask, \
            rasterio.open(out / 'a_probability.tif') as probability:
        for file in (mask, probability):
            assert (file.crs, file.transform, file.shape) == (a.crs, a.transform, a.shape)
            assert file.compression.name == 'deflate'
            assert file.block_shapes == [(512, 512)]
        values, chances = mask.read(1), probability.read(1)
        assert mask.nodata == NODATA
        assert (values == (chances > local_model.threshold)).all()
        assert mask.colormap(1)[1] == (213, 94, 0, 255)
    assert summary['changed_pixels'] == (values == 1).sum()
    assert summary == json.loads((out / 'a_summary.json').read_text())
    assert 'B is warped onto the grid of A' in summary['notes'][0]


def test_8_bit_probability_has_its_scale_in_the_header(tmp_path, inferencer, pair):
    for kind in ('uint8', 'float32'):
        inferencer(pair, out_dir=str(tmp_path / kind), probability=kind, **SMALL)
    with rasterio.open(tmp_path / 'uint8' / 'a_probability.tif') as small, \
            rasterio.open(tmp_path / 'float32' / 'a_probability.tif') as full:
        np.testing.assert_allclose(small.read(1) * small.scales[0], full.read(1), atol=0.5 / 254 + 1e-6)
        assert small.nodata == 255


def test_polygons_by_hand(tmp_path, inferencer, local_model, write_raster):
    # Two changes: 40 x 30 px with a hole of 10 x 10, and 4 x 4 px; the model is told to look at single pixels.
    local_model.forward = lambda pairs: (pairs[..., 0] != pairs[..., 3]).astype(np.float32) * 0.75
    a = np.full((200, 300, 3), 50, np.uint8)
    b = a.copy()
    b[100:130, 200:240] = 90
    b[110:120, 210:220] = 50
    b[20:24, 20:24] = 90
    b[10:12, 10:12] = b[12:14, 12:14] = 90  # touch at a corner
    paths = [write_raster(tmp_path / f'{name}.tif', image) for name, image in zip('ab', (a, b))]
    inferencer(paths, out_dir=str(tmp_path / 'all'), min_area=0, **SMALL)
    polygons = geopandas.read_file(tmp_path / 'all' / 'a_polygons.gpkg')
    assert polygons.crs.to_epsg() == 32632
    assert polygons.id.tolist() == [1, 2, 3, 4]
    # Pixels of 0.25 m2; the scale of UTM is 0.9996 on the central meridian, so the ground is 0.08 % larger.
    assert polygons.area_m2.tolist() == pytest.approx([1100 / 4 * 1.0008, 4 * 1.0008, 1.0008, 1.0008], abs=0.006)
    assert polygons.mean_probability.tolist() == pytest.approx([0.75] * 4, abs=0.5 / 254 + 1e-4)
    assert polygons.geometry.area.tolist() == pytest.approx([275, 4, 1, 1])
    assert polygons.geometry[0].bounds == (500100, 5299935, 500120, 5299950)
    assert polygons.geometry.is_valid.all()
    inferencer(paths, out_dir=str(tmp_path / 'large'), min_area=2, **SMALL)
    assert len(geopandas.read_file(tmp_path / 'large' / 'a_polygons.gpkg')) == 2


def test_areas_are_right_in_degrees_and_in_web_mercator(tmp_path, inferencer, local_model, write_raster):
    local_model.forward = lambda pairs: (pairs[..., 0] != pairs[..., 3]).astype(np.float32)
    a = np.full((100, 100, 3), 50, np.uint8)
    b = a.copy()
    b[40:60, 40:80] = 90
    # At 60 degrees north Web Mercator is twice too long (on the ellipsoid a little less), so four times in area.
    for crs, origin, size, expected in (
        ('EPSG:3857', (0, 8399737.9), 1., 800 / 4), ('EPSG:4326', (10, 60), 1e-5, 800 * 1.1141 * 0.5580)):
        paths = [write_raster(tmp_path / f'{name}.tif', image, crs=crs, origin=origin, size=size)
                 for name, image in zip('ab', (a, b))]
        inferencer(paths, out_dir=str(tmp_path / crs[5:]), polygons='geojson', **SMALL)
        polygons = geopandas.read_file(tmp_path / crs[5:] / 'a_polygons.geojson')
        assert polygons.crs.to_epsg() == 4326
        assert polygons.area_m2.tolist() == pytest.approx([expected], rel=0.005)


def test_no_change_gives_an_empty_layer(tmp_path, inferencer, pair):
    same = shutil.copy(pair[0], tmp_path / 'same.tif')
    for kind in ('gpkg', 'geojson'):
        summary = inferencer((pair[0], same), out_dir=str(tmp_path / kind), polygons=kind, **SMALL)['predictions'][0]
        assert len(geopandas.read_file(tmp_path / kind / f'a_polygons.{kind}')) == 0
        assert (summary['polygons'], summary['changed_pixels']) == (0, 0)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_without_a_crs_areas_are_pixels(tmp_path, inferencer, town, write_raster):
    paths = [write_raster(tmp_path / f'{name}.tif', image, crs=None) for name, image in zip('ab', town(100, 120))]
    summary = inferencer(paths, out_dir=str(tmp_path / 'out'), min_area=0, **SMALL)['predictions'][0]
    assert summary['changed_area_px'] == summary['changed_pixels'] > 0


def test_other_settings_leave_no_file_of_the_old_ones(tmp_path, inferencer, pair):
    out = tmp_path / 'out'
    inferencer(pair, out_dir=str(out), probability='uint8', **SMALL)
    (out / 'mine.txt').write_text('of the user')
    inferencer(pair, out_dir=str(out), polygons='none', overview=False, threshold=0.4, **SMALL)
    assert sorted(path.name for path in out.glob('[!.]*')) == ['a_mask.tif', 'a_summary.json', 'mine.txt']


@pytest.mark.parametrize(('option', 'value'), [('min-area', '10.0'), ('outline', 'simple'), ('split', '0.8')])
def test_options_of_polygons_are_refused_without_polygons(tmp_path, monkeypatch, option, value):
    """Also where they are what they would be anyhow; and before the model is loaded."""
    monkeypatch.setattr('mamba_cd_plugin.cli.predict.ChangeDetectionInferencer', lambda *args: pytest.fail('loaded'))
    with pytest.raises(SystemExit, match=f'--{option} {value}: no effect with --polygons none'):
        main(['predict', 'a.tif', 'b.tif', '--out', str(tmp_path), '--polygons', 'none', f'--{option}', value])


def test_options_of_polygons_are_refused_for_pictures(tmp_path, inferencer, local_model, town):
    paths = [str(tmp_path / f'{name}.png') for name in 'ab']
    for path, image in zip(paths, town(100, 120)):
        Image.fromarray(image).save(path)
    with pytest.raises(ValueError, match='a: --min-area 50 and --split 0.8: no effect on pictures'):
        inferencer(paths, out_dir=str(tmp_path / 'out'), min_area=50, split=0.8, **SMALL)
    assert local_model.seen == []
    none = inferencer(paths, out_dir=str(tmp_path / 'out'), polygons='none', **SMALL)['predictions'][0]
    assert 'a_mask.png' in none['files']
    assert 'a_mask.png' in inferencer(paths, out_dir=str(tmp_path / 'out'), **SMALL)['predictions'][0]['files']


def test_pairs_are_given_as_they_are_done(tmp_path, inferencer, town, write_raster):
    """So that the command, which prints a line of each, does not hold the summaries of a county."""
    for number in (1, 2):
        for date, image in zip('ab', town(60, 80, number)):
            (tmp_path / date).mkdir(exist_ok=True)
            write_raster(tmp_path / date / f'{number}.tif', image)
    out, inputs = tmp_path / 'out', (str(tmp_path / 'a'), str(tmp_path / 'b'))
    done = inferencer.each(inputs, out_dir=str(out), **SMALL)
    first, picture = next(done)
    assert first['name'] == '1' and picture is None
    assert [path.name for path in out.glob('*_summary.json')] == ['1_summary.json']
    assert [first, *(summary for summary, _ in done)] == inferencer(inputs, out_dir=str(out), **SMALL)['predictions']


def test_all_nodata(tmp_path, inferencer, pair, write_raster):
    empty = write_raster(tmp_path / 'empty.tif', np.zeros((300, 260, 3), np.uint8), nodata=0)
    with pytest.raises(ValueError, match=r'a\.tif and .*empty\.tif: no pixel has data in both images'):
        inferencer((pair[0], empty), out_dir=str(tmp_path / 'out'), **SMALL)
    assert not (tmp_path / 'out' / 'a_mask.tif').exists()


def test_nodata_is_kept(tmp_path, inferencer, town, write_raster):
    a, b = town(150, 200)
    a[:, :50] = 0
    paths = [write_raster(tmp_path / f'{name}.tif', image, nodata=0) for name, image in zip('ab', (a, b))]
    summary = inferencer(paths, out_dir=str(tmp_path / 'out'), **SMALL)['predictions'][0]
    with rasterio.open(tmp_path / 'out' / 'a_mask.tif') as file:
        mask = file.read(1)
        assert (file.read_masks(1) == np.where(mask == NODATA, 0, 255)).all()
    assert (mask[:, :50] == NODATA).all()
    assert (mask[:, 50:] != NODATA).all()
    assert (summary['pixels'], summary['nodata_pixels']) == (150 * 150, 150 * 50)


def test_a_folder_with_a_bad_pair_is_refused_before_the_first_is_predicted(tmp_path, inferencer, local_model, town,
                                                                           write_raster):
    for folder, image in zip('AB', town(100, 100)):
        (tmp_path / folder).mkdir()
        for name in ('1', '2', '3'):
            write_raster(tmp_path / folder / f'{name}.tif', image)
    (tmp_path / 'B' / '3.tif').write_text('no raster')
    with pytest.raises(ValueError, match=r'1 of 3 pairs cannot be predicted:\n.*3.tif: cannot be read'):
        inferencer((tmp_path / 'A', tmp_path / 'B'), out_dir=str(tmp_path / 'out'), **SMALL)
    assert local_model.seen == []
    for folder in 'AB':
        (tmp_path / folder / '3.tif').unlink()
    results = inferencer((tmp_path / 'A', tmp_path / 'B'), out_dir=str(tmp_path / 'out'), **SMALL)['predictions']
    assert [summary['name'] for summary in results] == ['1', '2']


def test_results_of_one_name_are_refused(tmp_path, inferencer, pair):
    with pytest.raises(ValueError, match='a: the results of 2 pairs would have this name'):
        inferencer([pair, pair], out_dir=str(tmp_path / 'out'), **SMALL)


def test_pictures_give_pictures(tmp_path, inferencer, town):
    from PIL import Image
    paths = [tmp_path / 'größe 1.png', tmp_path / 'b.png']
    for path, image in zip(paths, town(100, 120)):
        Image.fromarray(image).save(path)
    summary = inferencer(paths, out_dir=str(tmp_path / 'out dir'), probability='uint8', **SMALL)['predictions'][0]
    mask = np.asarray(Image.open(tmp_path / 'out dir' / 'größe 1_mask.png'))
    assert set(np.unique(mask)) == {0, 255}
    assert summary['changed_pixels'] == (mask == 255).sum()
    assert summary['files'] == ['größe 1_mask.png', 'größe 1_probability.png', 'größe 1_overview.png']


def test_what_is_transparent_in_a_picture_is_transparent_in_its_mask(tmp_path, inferencer, town):
    from PIL import Image
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    alpha = np.full((100, 120, 1), 255, np.uint8)
    alpha[:40] = 0
    for path, image in zip(paths, town(100, 120)):
        Image.fromarray(np.dstack([image, alpha])).save(path)
    summary = inferencer(paths, out_dir=str(tmp_path / 'out'), probability='float32', **SMALL)['predictions'][0]
    for name in ('mask', 'probability'):
        picture = Image.open(tmp_path / 'out' / f'a_{name}.png')
        assert picture.mode == 'LA'
        assert (np.asarray(picture)[..., 1] == alpha[..., 0]).all()
        assert (np.asarray(picture)[:40, :, 0] == 0).all()
    assert summary['nodata_pixels'] == 40 * 120


def test_paths_with_spaces_and_other_letters(tmp_path, inferencer, town, write_raster):
    folder = tmp_path / 'Größe 北京'
    folder.mkdir()
    paths = [write_raster(folder / f'{name} – é.tif', image) for name, image in zip('ab', town(100, 120))]
    summary = inferencer(paths, out_dir=str(folder / 'Änderungen 2'), min_area=0, **SMALL)['predictions'][0]
    assert summary['files'] == [f'a – é_{kind}' for kind in ('mask.tif', 'polygons.gpkg', 'overview.png')]
    polygons = geopandas.read_file(folder / 'Änderungen 2' / 'a – é_polygons.gpkg')
    assert len(polygons) == summary['polygons'] > 0


@pytest.mark.parametrize('outline, corners', [('pixels', 22), ('simple', 16), ('square', 4)])
def test_outlines_of_a_slanted_building(tmp_path, inferencer, local_model, write_raster, outline, corners):
    local_model.forward = lambda pairs: (pairs[..., 0] != pairs[..., 3]).astype(np.float32)
    before = np.full((100, 100, 3), 50, np.uint8)
    after = before.copy()
    for i in range(40):  # 40 columns of 20 px, which lie one pixel lower every 8 columns: 800 px
        after[30 + i // 8:50 + i // 8, 30 + i] = 90
    paths = [write_raster(tmp_path / f'{name}.tif', image) for name, image in zip('ab', (before, after))]
    summary = inferencer(paths, out_dir=str(tmp_path / 'out'), outline=outline, **SMALL)['predictions'][0]
    polygons = geopandas.read_file(tmp_path / 'out' / 'a_polygons.gpkg')
    assert len(polygons.geometry[0].exterior.coords) - 1 <= corners
    assert polygons.geometry.area.tolist() == pytest.approx([200], rel=0.01)
    assert summary['changed_area_m2'] == pytest.approx(200 * 1.0008, abs=0.01)  # of the pixels, however they are drawn
    assert polygons.geometry[0].centroid.distance(shapely.Point(500025, 5299979)) < 0.3
