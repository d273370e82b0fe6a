"""The commands of docs/predict.md, as they stand there."""
import re
import shlex
import shutil
from pathlib import Path

import pytest

from mamba_cd_plugin.cli import main

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'predict.md').read_text('utf-8')
COMMANDS = [shlex.split(line)
            for line in re.findall(r'^    mamba-cd (.*)$', PAGE.replace('\\\n', ''), re.MULTILINE)]


def test_commands_do_what_the_page_says(tmp_path, monkeypatch, toy_checkpoint):
    monkeypatch.chdir(tmp_path)
    checkpoint = Path('work_dirs/my_run/best_changed_F1.pth')
    checkpoint.parent.mkdir(parents=True)
    shutil.copy(toy_checkpoint, checkpoint)
    sample, predict, publish, export, predict_onnx, *measurements = COMMANDS
    for command in ([*sample, '--size', '200', '240'], [*predict, '--min-area', '0'], publish):
        assert main(command) == 0
    assert (export[0], predict_onnx[0]) == ('export', 'predict')  # run in test_export.py
    assert [command[0] for command in measurements] == ['benchmark-predict', 'check-predict']
    named = set(re.findall(r'`(town_2019_\w+\.\w+)`', PAGE))
    assert len(named) == 4
    assert {path.name for path in Path('data/town/changes').glob('[!.]*')} == named
    assert len(list(Path('models').glob('my_model-*.safetensors'))) == 1
    with rasterio.open('data/town/town_2019.tif') as a, rasterio.open('data/town/changes/town_2019_mask.tif') as mask:
        assert (mask.crs, mask.transform, mask.shape) == (a.crs, a.transform, a.shape)
        assert mask.read(1).max() == 1  # B covers A to its border: no nodata
    polygons = geopandas.read_file('data/town/changes/town_2019_polygons.gpkg')
    assert polygons.columns.tolist() == ['id', 'area_m2', 'mean_probability', 'geometry']


def test_sample_pair_is_one_town(tmp_path):
    from mamba_cd_plugin.inference.pairs import open_pair
    from mamba_cd_plugin.synthetic.sample_rasters import sample_pair, write_sample_pair
    one, two = (write_sample_pair(tmp_path / name, (96, 128), seed=3) for name in '12')
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two))
    with rasterio.open(one.b) as b, open_pair(one.a, one.b) as source:
        assert b.crs.to_epsg() == 32633
        assert source.thumbnail(1).valid.all()
    kept = sample_pair(tmp_path / '3', (96, 128), seed=3)
    kept.a.write_text('to be kept')
    assert sample_pair(tmp_path / '3', (96, 128), seed=3).a.read_text() == 'to be kept'
    with pytest.raises(FileExistsError, match='town_2019.tif would be overwritten, which was changed'):
        sample_pair(tmp_path / '3', (96, 160), seed=3)
    other = sample_pair(tmp_path / '1', (96, 160), seed=3)
    with rasterio.open(other.a) as file:
        assert file.shape == (96, 160)
