"""A run that is stopped, killed, or finds no room to write."""
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rasterio')
pytest.importorskip('geopandas')

from mamba_cd_plugin.cli.main import main  # noqa: E402  after the skips
from mamba_cd_plugin.inference import outputs  # noqa: E402

SMALL = dict(tile=128, overlap=32)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob('[!.]*')}


@pytest.mark.parametrize('kind', ['gpkg', 'geojson'])
def test_stopped_and_started_again_it_ends_with_the_same_bytes(tmp_path, inferencer, local_model, pair, kind,
                                                               monkeypatch):
    options = dict(probability='uint8', polygons=kind, min_area=1, **SMALL)
    inferencer(pair, out_dir=str(tmp_path / 'once'), **options)
    forward, calls = local_model.forward, []

    def stop_in_the_third_row(pairs):
        calls.append(1)
        if len(calls) == 8:  # three windows a row
            raise KeyboardInterrupt
        return forward(pairs)

    monkeypatch.setattr(local_model, 'forward', stop_in_the_third_row)
    out = tmp_path / 'twice'
    with pytest.raises(KeyboardInterrupt):
        inferencer(pair, out_dir=str(out), **options)
    assert [path.name for path in out.iterdir()] == ['.a.partial']  # nothing that could be taken for a result
    monkeypatch.setattr(local_model, 'forward', lambda pairs: calls.append(1) or forward(pairs))
    calls.clear()
    inferencer(pair, out_dir=str(out), **options)
    assert len(calls) == 3  # the third row again, and no more
    assert contents(out) == contents(tmp_path / 'once')

    inferencer(pair, out_dir=str(out), **options)
    assert len(calls) == 3  # complete: nothing is done
    inferencer(pair, out_dir=str(out), fresh=True, **options)
    assert len(calls) == 3 + 9
    assert contents(out) == contents(tmp_path / 'once')


def test_a_stop_by_hand_says_how_to_go_on(tmp_path, inferencer, local_model, pair, monkeypatch):
    def stop(pairs):
        raise KeyboardInterrupt

    monkeypatch.setattr(local_model, 'forward', stop)
    with pytest.raises(SystemExit, match='stopped; run the same command again to resume'):
        main(['predict', *map(str, pair), '--checkpoint', 'local.pth', '--out', str(tmp_path / 'out')])


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='kills a fork of this process')
@pytest.mark.filterwarnings('ignore:This process .* is multi-threaded')
def test_killed_at_half_and_started_again_it_ends_with_the_same_bytes(tmp_path, inferencer, local_model, pair,
                                                                      monkeypatch):
    # No tensors: their threads do not live on in a fork.
    monkeypatch.setattr(local_model, 'forward', lambda pairs: np.abs(pairs[..., 0] - pairs[..., 3] * 0.5) / 255)
    forward, calls = local_model.forward, []

    def die_in_the_second_row(pairs):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(pairs)

    inferencer(pair, out_dir=str(tmp_path / 'once'), **SMALL)
    child = os.fork()
    if child == 0:
        local_model.forward = die_in_the_second_row
        inferencer(pair, out_dir=str(tmp_path / 'twice'), **SMALL)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert json.loads((tmp_path / 'twice' / '.a.partial' / 'state.json').read_text())['next_row'] == 1
    monkeypatch.setattr(local_model, 'forward', lambda pairs: calls.append(1) or forward(pairs))
    inferencer(pair, out_dir=str(tmp_path / 'twice'), **SMALL)
    assert len(calls) == 2 * 3  # the second and the third row of windows
    assert contents(tmp_path / 'twice') == contents(tmp_path / 'once')


def test_killed_while_finishing(tmp_path, inferencer, pair, monkeypatch):
    inferencer(pair, out_dir=str(tmp_path / 'once'), **SMALL)
    monkeypatch.setattr(outputs, 'draw_overview', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inferencer(pair, out_dir=str(tmp_path / 'twice'), **SMALL)
    monkeypatch.undo()
    monkeypatch.setattr(type(inferencer.model), 'forward', lambda *args: 1 / 0)  # not needed: all strips are there
    inferencer(pair, out_dir=str(tmp_path / 'twice'), **SMALL)
    assert contents(tmp_path / 'twice') == contents(tmp_path / 'once')


def test_an_output_folder_that_cannot_be_written_is_known_before_the_model_runs(tmp_path, inferencer, local_model,
                                                                                pair):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(OSError, match='file.out: cannot be written to, .*Choose another --out'):
        inferencer(pair, out_dir=str(tmp_path / 'file' / 'out'), **SMALL)
    assert local_model.seen == []


FULL_DISK = '''
import resource, signal, sys
from functools import partial
from pathlib import Path
import geopandas, numpy as np, shapely
from mamba_cd_plugin.io.rasters import write_band
from mamba_cd_plugin.inference.outputs import write_picture
from mamba_cd_plugin.inference.pairs import open_pair
from mamba_cd_plugin.inference.job import Spool, Strip
from mamba_cd_plugin.inference.vector_formats import VECTOR_FORMATS
from mamba_cd_plugin.inference.vectors import write_polygons
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
out = Path(sys.argv[1])
noise = np.random.default_rng(0).random((600, 600), np.float32)
corners = np.random.default_rng(1).random((4000, 2))  # which cannot be compressed
columns = dict(id=np.arange(4000), area_m2=corners[:, 0], mean_probability=corners[:, 1])
boxes = geopandas.GeoDataFrame(columns, geometry=shapely.box(*corners.T, *corners.T + 1), crs='EPSG:32632')
date = '2026-01-01T00:00:00.000Z'
for write in (lambda: Spool(out / 's', noise.shape, 'float32', {}).append(Strip(noise, noise > 0.5), noise[:0]),
              lambda: write_band(out / 'p.tif', noise, open_pair(noise, noise), 'noise', nodata=-1),
              *(partial(write_polygons, boxes, out / f'p.{kind.choice}', kind, date) for kind in VECTOR_FORMATS),
              lambda: write_picture(out / 'p.png', (noise * 255).astype(np.uint8))):
    try:
        write()
        print('wrote')
    except OSError as error:
        print('OSError', error)
'''


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='limits the size of files as Linux does')
def test_a_disk_that_is_full_in_the_middle(tmp_path):
    # A limit on the size of files stands for the full disk: writing fails in the same way, in the middle.
    run = subprocess.run([sys.executable, '-W', 'ignore', '-c', FULL_DISK, str(tmp_path)], capture_output=True,
                         text=True, env=dict(os.environ, PYTHONPATH=str(Path(outputs.__file__).parents[2])))
    said = re.findall('^(OSError .*|wrote)$', run.stdout, re.MULTILINE)
    assert len(said) == 7, run.stderr
    assert re.search('s: writing failed, File too large.*it resumes at row 0 of 600', said[0])
    for line, name in zip(said[1:], ('tif', 'gpkg', 'geojson', 'fgb', 'parquet', 'png')):
        assert re.match(f'OSError .*p.{name}: .*Is the disk full', line)
