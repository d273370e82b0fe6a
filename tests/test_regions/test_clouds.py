"""Pixels that a cloud mask marks are taken from the next raster that shows them, or have no data."""
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rasterio')
pytest.importorskip('pyarrow')

from mamba_cd_plugin.inference.pairs import PairTile, Span, Window  # noqa: E402
from mamba_cd_plugin.regions.clouds import CloudOptions, cloud_options  # noqa: E402
from mamba_cd_plugin.regions.job import open_pair  # noqa: E402
from mamba_cd_plugin.regions.sources import find_rasters  # noqa: E402

SIDE = 40


def image(colour: int, *cloudy: tuple[slice, slice], value: int = 1) -> np.ndarray:
    """One colour and a fourth band, which is 0 but for the cloudy places."""
    values = np.full((SIDE, SIDE, 4), colour, np.uint8)
    values[..., 3] = 0
    for place in cloudy:
        values[place + (3, )] = value
    return values


def read(region: Any) -> PairTile:
    """The whole region."""
    with open_pair(region.job, region.plan.a.placed(), region.plan.b.placed()) as pair:
        return pair.read(Window(Span(0, region.plan.grid.height), Span(0, region.plan.grid.width)))


@pytest.mark.parametrize('values', [None, [1, 2]])
def test_the_next_raster_fills_what_is_marked(tools: Any, tmp_path: Path, values: list | None) -> None:
    # GDAL calls the fourth band of an RGB file alpha, of which 0 would mean no data.
    first = image(10, np.s_[5:20, 5:20], np.s_[30:40, 0:40])
    first[0, 0, 3] = 2
    tools.write(tmp_path / 'before/0.tif', first, photometric='RGB')
    tools.write(tmp_path / 'before/1.tif', image(20, np.s_[0:5, 0:10])[:, :30], row=10, photometric='RGB')
    tools.write(tmp_path / 'after/0.tif', image(30)[..., :3])
    region = tools.open(tmp_path, cloud_band=4, cloud_band_b=0, cloud_values=values)
    tile = read(region)
    expected = np.full((50, 40), 10)
    expected[5:20, 5:20] = 0
    expected[30:40] = 0
    expected[0, 0] = 0
    # The second begins ten rows down and is 30 px wide; its own cloud covers rows 10 to 15 and columns 0 to 10.
    expected[10:20, 5:20] = 20
    expected[10:15, 5:10] = 0
    expected[30:50, :30] = 20
    expected[40:50, 30:] = 0
    covered = expected[:40] > 0
    assert np.array_equal(tile.valid[:40], covered) and not tile.valid[40:].any()
    assert np.array_equal(tile.pair[:40, :, 0][covered], expected[:40][covered])
    clear = tools.open(tmp_path, cloud_band=4, cloud_band_b=0, cloud_values=[7])
    assert read(clear).valid[:40].all() and clear.tasks[0].digest != region.tasks[0].digest


def test_a_mask_of_its_own_with_larger_pixels(tools: Any, tmp_path: Path) -> None:
    classes = np.full((SIDE // 2, SIDE // 2, 1), 4, np.uint8)  # vegetation
    classes[:5, :10], classes[15:, 3:5], classes[10, 10] = 9, 3, 0  # cloud, shadow, no class
    tools.write(tmp_path / 'masks/scl.tif', classes, size=2 * tools.PIXEL, nodata=0)
    tools.write(tmp_path / 'before/a.tif', image(10)[..., :3])
    tools.write(tmp_path / 'after/b.tif', image(30)[..., :3])
    item = dict(type='Feature', stac_version='1.0.0', id='scene', bbox=[11, 48, 12, 49], links=[],
                geometry=dict(type='Point', coordinates=[11, 48]), properties=dict(datetime='2023-05-01T00:00:00Z'),
                assets=dict(visual=dict(href='before/a.tif'), scl=dict(href='masks/scl.tif')))
    (tmp_path / 'item.json').write_text(json.dumps(item))
    before = [str(tmp_path / 'item.json')]
    expected = np.ones((SIDE, SIDE), bool)
    expected[:10, :20] = expected[30:, 6:10] = False
    options = dict(before=before, cloud_asset='scl', cloud_band_b=0)
    region = tools.open(tmp_path, cloud_values=[3, 8, 9, 10, 11], **options)
    assert np.array_equal(read(region).valid, expected)
    expected[20:22, 20:22] = False
    assert np.array_equal(read(tools.open(tmp_path, cloud_values=[0, 3, 9], **options)).valid, expected)
    tools.write(tmp_path / 'masks/scl.tif', classes * 0 + 4, size=2 * tools.PIXEL)
    again = tools.open(tmp_path, cloud_values=[3, 8, 9, 10, 11], **options)
    assert read(again).valid.all() and again.tasks[0].digest != region.tasks[0].digest
    with pytest.raises(ValueError, match="scene has no asset 'cld', but visual, scl. Choose one with --cloud-asset"):
        tools.open(tmp_path, before=before, cloud_asset='cld', cloud_values=[1])
    with pytest.raises(ValueError, match='--cloud-asset scl: is an asset of STAC items, and .*b.tif comes from none'):
        tools.open(tmp_path, before=before, cloud_asset='scl', cloud_values=[1])


def test_a_warped_raster_keeps_its_classes(tools: Any, tmp_path: Path) -> None:
    """Between classes 0 and 8 lies no 4: masks are not interpolated."""
    tools.write(tmp_path / 'before/0.tif', image(10))
    tools.write(tmp_path / 'after/0.tif', image(20, np.s_[10:20, 10:20], value=8), row=0.5, column=0.5)
    for values, marked in (([4], 0), ([8], 100)):
        region = tools.open(tmp_path, cloud_band=4, cloud_values=values)
        assert not region.plan.b.direct[0]
        valid = read(region).valid
        assert (~valid[1:, 1:]).sum() == marked


def test_what_is_no_cloud_mask(tools: Any, tmp_path: Path) -> None:
    tools.write(tmp_path / 'before/a.tif', image(10)[..., :3])
    for band, reason in ((4, r'has no cloud mask in band 4, as --cloud-band says: has the bands \[1, 2, 3\]'),
                         (2, r'has no cloud mask in band 2, .* its colours are read from bands \[1, 2, 3\]')):
        with pytest.raises(ValueError, match=reason):
            find_rasters('before', [str(tmp_path / 'before')], clouds=CloudOptions(band))
    assert cloud_options(None, None, None, None) == (None, None)
    assert cloud_options(4, None, None, [2]) == (CloudOptions(4, (2., )), ) * 2
    assert cloud_options(4, 5, None, None) == (CloudOptions(4), CloudOptions(5))
    for arguments, message in (((0, None, None, None), '--cloud-band: expected the number of a band, from 1, got 0'),
                               ((None, 4, None, None), '--cloud-band-b: expected --cloud-band or '),
                               ((None, None, None, [1]), '--cloud-values: expected --cloud-band'),
                               ((None, None, 'scl', None), '--cloud-asset scl: expected --cloud-values with it')):
        with pytest.raises(ValueError, match=message):
            cloud_options(*arguments)
