"""Every entry refuses a checkpoint that would run a command, and nothing runs."""
import os
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mamba_cd_plugin.cli.main import main
from mamba_cd_plugin.engine.safetensors_file import safetensors_bytes

# mmengine's singletons, of which several runs in one process have one each.
pytestmark = pytest.mark.filterwarnings('ignore:.* has been created, the method')
TOOLS = Path(__file__).parents[2] / 'tools'


class Command:
    """Pickled, it is a call of os.system."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}', )


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / 'it_ran'
    yield path
    assert not path.exists()


def evil_pickle(checkpoint, path, marker):
    torch.save(dict(torch.load(checkpoint, weights_only=False), extra=Command(str(marker))), path)


def evil_config_text(checkpoint, path, marker):
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['cfg'] += f'\n__import__("os").system("touch {marker}")\n'
    torch.save(content, path)


def evil_config_type(checkpoint, path, marker):
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['cfg'] = content['meta']['cfg'].replace(
        'decode_head=dict(', f"auxiliary_head=dict(type='os.system', command='touch {marker}'), decode_head=dict(")
    assert 'os.system' in content['meta']['cfg']
    torch.save(content, path)


def evil_safetensors(checkpoint, path, marker):
    """The config text of a .safetensors file is no more trusted than that of a pickle."""
    content = torch.load(checkpoint, weights_only=False)
    meta = dict(cfg=content['meta']['cfg'] + f'\n__import__("os").system("touch {marker}")\n')
    path.write_bytes(safetensors_bytes(content['state_dict'], meta))


def evil_resume_text(checkpoint, path, marker):
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['config'] = f'import os\nos.system("touch {marker}")\n'
    torch.save(content, path)


@pytest.fixture
def run_tool(monkeypatch):
    """Run a script of tools/ in this process."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(str(TOOLS / script), run_name='__main__')

    return run


@pytest.fixture
def data(tmp_path):
    """A data set of one pair per split."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for split in ('train', 'val', 'test'):
        for folder in ('A', 'B', 'label'):
            path = tmp_path / 'data' / split / folder / '1.png'
            path.parent.mkdir(parents=True)
            Image.fromarray((image[..., 0] > 99).astype(np.uint8) * 255 if folder == 'label' else image).save(path)
    return tmp_path / 'data'


def on_data(cfg, folder):
    """A config with data of this folder, one pair at a time and without workers."""
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=1)
        loader.dataset.data_root = str(folder)
    return cfg


@pytest.mark.parametrize('make', [evil_pickle, evil_config_text, evil_config_type, evil_safetensors])
@pytest.mark.parametrize('tool', ['predict.py', 'export.py', 'misc/publish_model.py'])
def test_predict_export_and_publish(tmp_path, marker, toy_checkpoint, run_tool, make, tool):
    evil = tmp_path / ('evil.safetensors' if make is evil_safetensors else 'evil.pth')
    make(toy_checkpoint, evil, marker)
    image = tmp_path / 'a.png'
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(image)
    arguments = (image, image, '--checkpoint', evil, '--out', tmp_path / 'out') if tool == 'predict.py' else (
        evil, tmp_path / ('out.onnx' if tool == 'export.py' else 'out.pth'))
    with pytest.raises(SystemExit, match=f'error: .*{evil.name}(.* refused|: the config text inside asks for)'):
        run_tool(tool, *arguments)
    assert not list(tmp_path.glob('out*'))


def test_convert(tmp_path, marker, toy_checkpoint, run_tool):
    evil = tmp_path / 'evil.pth'
    evil_pickle(toy_checkpoint, evil, marker)
    with pytest.raises(SystemExit, match='error: .*evil.pth.* refused'):
        run_tool('model_converters/vmamba.py', evil, tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('make', [evil_pickle, evil_resume_text])
@pytest.mark.parametrize('tool, options', [
    ('train.py', ['--cfg-options', 'load_from={evil}']),
    ('train.py', ['--resume', '{evil}']),
    ('test.py', ['{evil}']),
])
def test_train_resume_and_test(tmp_path, marker, toy_checkpoint, toy_config, data, run_tool, make, tool, options):
    evil, config = tmp_path / 'evil.pth', tmp_path / 'config.py'
    make(toy_checkpoint, evil, marker)
    on_data(toy_config('cdmamba_v8_levircd.py'), data).dump(config)
    options = [option.format(evil=evil) for option in options]
    trailing = options if tool == 'test.py' else []
    with pytest.raises(SystemExit, match='error: .*evil.pth.* refused'):
        run_tool(tool, config, *trailing, '--work-dir', tmp_path / 'work', *(options if not trailing else []))


@pytest.mark.parametrize('make', [evil_pickle, evil_config_text])
@pytest.mark.parametrize('command', [
    ['mosaic', '--before', '{raster}', '--after', '{later}', '--checkpoint', '{evil}', '--out', '{out}'],
    ['benchmark-predict', '{evil}', '--sizes', '128x128', '--out', '{out}'],
    ['check-predict', '{evil}', '--size', '1024x1024', '--out', '{out}'],
], ids=lambda words: words[0])
def test_mosaic_and_checks_of_prediction(tmp_path, marker, toy_checkpoint, make, command):
    rasterio = pytest.importorskip('rasterio')
    pytest.importorskip('pystac')
    evil, raster = tmp_path / 'evil.pth', tmp_path / 'a.tif'
    make(toy_checkpoint, evil, marker)
    with rasterio.open(raster, 'w', driver='GTiff', width=64, height=64, count=3, dtype='uint8', crs='EPSG:32632',
                       transform=rasterio.Affine(1, 0, 500_000, 0, -1, 5_300_000)) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, 64, 64), dtype=np.uint8))
    later = shutil.copy(raster, tmp_path / 'b.tif')
    with pytest.raises(SystemExit, match='error: .*evil.pth.* refused'):
        main([word.format(evil=evil, raster=raster, later=later, out=tmp_path / 'out') for word in command])


def test_report(tmp_path, marker, toy_checkpoint, toy_config, data):
    work = tmp_path / 'work'
    work.mkdir()
    on_data(toy_config('cdmamba_v8_levircd.py'), data).dump(work / 'config.py')
    evil_pickle(toy_checkpoint, work / 'best_changed_F1.pth', marker)
    with pytest.raises(SystemExit, match='error: .*best_changed_F1.pth.* refused'):
        main(['report', str(work), '--out', str(tmp_path / 'out')])
