"""The checks themselves must notice what they are there for."""
import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')

from mamba_cd_plugin.analysis import predict_checks as checks  # noqa: E402  after the skips
from mamba_cd_plugin.inference.windows import Span  # noqa: E402

ORIGIN = (500000., 5300000.)  # on the central meridian of zone 32, where the scale of UTM is 0.9996


def write(path, values, west=ORIGIN[0]):
    transform = rasterio.transform.from_origin(west, ORIGIN[1], 0.5, 0.5)
    with rasterio.open(path, 'w', driver='GTiff', count=1, height=values.shape[0], width=values.shape[1],
                       dtype='uint8', crs='EPSG:32632', transform=transform) as file:
        file.write(values, 1)
    return path


def test_grid(tmp_path):
    values = np.zeros((20, 30), np.uint8)
    a = write(tmp_path / 'a.tif', values)
    checks.check_grid(a, write(tmp_path / 'same.tif', values))
    with pytest.raises(ValueError, match='shifted.tif: expected the transform of'):
        checks.check_grid(a, write(tmp_path / 'shifted.tif', values, ORIGIN[0] + 0.5))
    with pytest.raises(ValueError, match=r'smaller.tif: expected the shape of .*\(20, 30\), got \(19, 30\)'):
        checks.check_grid(a, write(tmp_path / 'smaller.tif', values[1:]))


def test_polygons(tmp_path):
    values = np.zeros((200, 300), np.uint8)
    values[40:80, 100:160] = 1
    mask = write(tmp_path / 'mask.tif', values)
    west, north = ORIGIN[0] + 50, ORIGIN[1] - 20
    box = shapely.box(west, north - 20, west + 30, north)
    areas = {'right': 600 / 0.9996**2, 'planar': 600., 'shifted': 600.}
    for name, area in areas.items():
        geometry = shapely.transform(box, lambda xy: xy + 0.5) if name == 'shifted' else box
        geopandas.GeoDataFrame(dict(area_m2=[area]), geometry=[geometry], crs='EPSG:32632').to_file(
            tmp_path / f'{name}.gpkg', engine='pyogrio')
    assert checks.check_polygons(mask, tmp_path / 'right.gpkg') < 1e-5
    assert checks.check_polygons(mask, tmp_path / 'planar.gpkg') == pytest.approx(1 - 0.9996**2, rel=1e-3)
    # One pixel to the right and one up: 59 x 39 of 60 x 40 pixels are common, and 99 of either are not.
    with pytest.raises(ValueError, match='shifted.gpkg: 198 of 2400 changed pixels differ'):
        checks.check_polygons(mask, tmp_path / 'shifted.gpkg')


def test_a_seam_is_seen():
    smooth = np.tile(np.linspace(0, 1, 200), (10, 1))
    columns = [Span(0, 120), Span(80, 200)]
    assert checks.step_at_seams(smooth, columns) == pytest.approx(1)
    torn = smooth.copy()
    torn[:, 100:] += 0.5
    # 39 of the 199 steps are shared; one of them is larger by 0.5, and a step is 1 / 199.
    assert checks.step_at_seams(torn, columns) == pytest.approx((39 / 199 + 0.5) / 39 * 199)


def test_comparison_by_hand():
    truth = np.array([[255, 255, 0, 0]])
    one = dict(probability=np.array([[0.9, 0.9, 0.1, 0.1]]), mask=np.array([[1, 1, 0, 0]]))
    other = dict(probability=np.array([[0.9, 0.4, 0.1, 0.6]]), mask=np.array([[1, 0, 0, 1]]))
    found = checks.compare_predictions(one, other, truth)
    assert found.mean_difference == pytest.approx(0.25)
    assert found.other_pixels == 0.5
    assert found.f1 == (1, 0.5)
    assert np.isnan(checks.changed_f1(np.zeros((2, 2)), np.zeros((2, 2))))
