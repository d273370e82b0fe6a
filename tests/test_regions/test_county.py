"""The generated county has what it is for: zones, overlaps, gaps and defects."""
import argparse
import json
import runpy
from pathlib import Path

import pytest

rasterio = pytest.importorskip('rasterio')

COUNTY = runpy.run_path(str(Path(__file__).parents[2] / 'tools/misc/county.py'))


def test_a_county(tmp_path: Path) -> None:
    out = tmp_path / 'county'
    COUNTY['write_county'](out, pairs=9, size=64, scenes=1, seed=0)
    names = sorted(path.name for path in (out / 'before').iterdir())
    assert names == sorted(path.name for path in (out / 'after').iterdir()) and len(names) == 9
    assert 'r02_c00.tif' not in names  # the ninth place, of four in a row
    facts = {}
    for name in names:
        with rasterio.open(out / 'before' / name) as file:
            facts[name] = file.crs.to_epsg(), file.transform.c, file.transform.f, file.read()
    assert {name: fact[0] for name, fact in facts.items()} == {
        name: 32632 if name[6] in '01' else 32633 for name in names}
    # 64 px of 0.5 m are 32 m; a step is 6 % less, rounded to a pixel, and a neighbour overlaps by the rest.
    assert facts['r00_c01.tif'][1] - facts['r00_c00.tif'][1] == 30
    assert facts['r00_c00.tif'][2] - facts['r01_c00.tif'][2] == 30
    assert (facts['r00_c00.tif'][3] != facts['r00_c01.tif'][3]).any()  # turned
    pixels, sizes = set(), {}
    for name in names:
        try:
            with rasterio.open(out / 'after' / name) as file:
                pixels.add(file.transform.a)
                file.read()
        except rasterio.errors.RasterioIOError:
            sizes[name] = (out / 'after' / name).stat().st_size
    assert pixels == {0.5, 1.0} and list(sizes) == ['r00_c03.tif']
    districts = json.loads((out / 'county.geojson').read_text())['features']
    assert [one['properties']['name'] for one in districts] == ['Northwest', 'Northeast', 'Southwest', 'Southeast']
    with pytest.raises(FileExistsError, match='holds files already'):
        COUNTY['write_county'](out, pairs=9, size=64, scenes=1, seed=0)


def test_a_region_is_planned_from_headers() -> None:
    """What the script that tries regions has in reach of a test: a plan without a single pixel."""
    pytest.importorskip('pyarrow')
    trial = runpy.run_path(str(Path(__file__).parents[2] / 'tools/misc/try_region.py'))
    assert all(trial['try_plan'](argparse.Namespace(blocks=16, align=align)) for align in (False, True))
