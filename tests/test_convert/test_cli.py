"""The command lines of the conversion."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.cli import main
from mamba_cd_plugin.io.labels import read_label
from mamba_cd_plugin.preparation.convert import CATALOG, DatasetFacts, OfficialSplit, split_folders

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools/dataset_converters'


@pytest.fixture
def source(small, download):
    """Two of the 445 images of LEVIR-CD, one of the 64 and one of the 128, of 8 pixels instead of 1024."""
    return str(download(small('levircd', train=2, val=1, test=1)))


def run(tool, monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    try:
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
    except SystemExit as ended:
        return ended.code
    return 0


def test_states_the_official_numbers_and_fails(source, tmp_path, monkeypatch, capsys):
    assert run('levircd.py', monkeypatch, source, tmp_path / 'out') == 1
    said = capsys.readouterr().out
    assert '0 of 7,120  missing' in said and '0 of 1,024' in said and '0 of 2,048' in said
    assert 'train_1: 8 x 8 pixels, officially 1024 x 1024' in said
    assert 'not found: train_3, train_4, ' in said and ', train_52 and 393 more' in said  # 50 of 443 are named
    assert 'run the same command again' in said


def test_takes_what_is_there(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    assert run('prepare.py', monkeypatch, 'levircd', source, out, '--size', 4, '--accept-incomplete') == 0
    said = capsys.readouterr().out
    assert 'incomplete, accepted' in said and '8 of 29,163,520' in said  # 445 images give 256 x 256 tiles of 4 each
    assert sorted(path.name for path in out.iterdir()) == ['test', 'train', 'val']


@pytest.mark.parametrize('arguments, message', [
    (['nowhere', 'out'], 'error: nowhere is neither a folder nor a zip'),
    (['.', 'out', '--overlap', '300'], 'error: overlap 300 of tiles of 256: expected 0 to 255'),
])
def test_wrong_use_ends_with_a_line(arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        main(['prepare', 'levircd', *arguments])


def test_interruption_from_the_keyboard(source, tmp_path, monkeypatch, capsys):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr('mamba_cd_plugin.preparation.convert.converter.Converter.run', interrupt)
    assert main(['prepare', 'levircd', source, str(tmp_path)]) == 130
    assert 'run the same command again to resume' in capsys.readouterr().out


def test_a_data_set_is_one_record(tmp_path, monkeypatch, capsys):
    """A new entry of the catalogue is on the command line, in the messages and converted, without another change."""
    facts = DatasetFacts('own', 'OwnCD', {'train': OfficialSplit(1, 8, 8)}, (split_folders('before', 'after'), ))
    monkeypatch.setitem(CATALOG, 'own', facts)
    with pytest.raises(SystemExit):
        main(['prepare', '--help'])
    assert 'own' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'no file of OwnCD found\. Expected train\|val\|test / before, after, label'):
        main(['prepare', 'own', str(tmp_path), str(tmp_path / 'out'), '--size', '4'])
    for folder in ('before', 'after', 'label'):
        (tmp_path / 'source/train' / folder).mkdir(parents=True)
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / 'source/train' / folder / '1.png')
    assert main(['prepare', 'own', str(tmp_path / 'source'), str(tmp_path / 'out'), '--size', '4']) == 0
    assert len(list((tmp_path / 'out/train/label').glob('1_*.png'))) == 4


@pytest.mark.parametrize('key', CATALOG)
def test_each_data_set_is_documented(key):
    page = (ROOT / 'docs/datasets.md').read_text('utf-8')
    assert f'| `{key}` |' in page and f'[{CATALOG[key].title}]' in page


def test_own_data(tmp_path, capsys):
    """Images and labels of kinds that training does not take become tiles that it takes."""
    source, out = tmp_path / 'source', tmp_path / 'out'
    truth = np.zeros((8, 16), np.uint8)
    truth[:3, :5] = 1
    deep = np.arange(128, dtype=np.uint16).reshape(8, 16) * 32
    for split, number in (('train', 2), ('val', 1)):
        for role, array in (('A', deep), ('B', deep), ('label', truth * np.uint16(255))):
            (source / split / role).mkdir(parents=True)
            for index in range(number):
                Image.fromarray(array).save(source / split / role / f'{index}.png')
    command = ['prepare', 'folder', str(source), str(out), '--size', '8']
    assert main(command) == 1
    assert 'uint16 pixels with values from 0 to 4064' in capsys.readouterr().out
    assert main([*command[:3], str(tmp_path / 'deep'), '--size', '8', '--value-range', '0', '4080']) == 0
    assert 'train               2 of 2                4 of 4  complete' in capsys.readouterr().out
    tile = np.asarray(Image.open(tmp_path / 'deep/train/A/1_0_1.png'))
    assert (tile == (deep[:, 8:] // 16)[..., None]).all()  # 4080 / 255
    assert (np.asarray(Image.open(tmp_path / 'deep/val/label/0_0_0.png')) == truth[:, :8] * 255).all()
    with pytest.raises(SystemExit, match='no file of your own data found'):
        main(['prepare', 'folder', str(tmp_path / 'deep/val'), str(out), '--size', '8'])


def own_pair(folder, a, label):
    for role, image in dict(A=a, B=255 - a, label=label).items():
        (folder / 'train' / role).mkdir(parents=True)
        Image.fromarray(image).save(folder / 'train' / role / 'town.png')


def test_images_are_enlarged_before_they_are_cut(tmp_path):
    grey = np.full((8, 8, 3), 90, np.uint8)
    grey[:, 4:] = 170
    label = np.zeros((8, 8), np.uint8)
    label[:4, :4] = 255
    own_pair(tmp_path / 'own', grey, label)
    command = ['prepare', 'folder', str(tmp_path / 'own'), str(tmp_path / 'out'), '--size', '8', '--scale', '2']
    assert main(command) == 0
    tile = {path.stem: np.asarray(Image.open(path)) for path in (tmp_path / 'out/train/label').iterdir()}
    # The corner of 4 x 4 pixels is a tile of 8 x 8 now; the edges of a class lie where they lay.
    assert sorted(tile) == ['town_0_0', 'town_0_1', 'town_1_0', 'town_1_1']
    assert (tile['town_0_0'] == 255).all() and not any(tile[name].any() for name in sorted(tile)[1:])
    left = np.asarray(Image.open(tmp_path / 'out/train/A/town_1_0.png'))
    assert (left[:, :4] == 90).all()


def test_images_are_made_smaller_by_means_over_areas(tmp_path):
    board = np.indices((8, 8)).sum(0)[..., None].repeat(3, -1).astype(np.uint8) % 2 * 200
    label = np.zeros((8, 8), np.uint8)
    label[0, :] = 1  # half of each area: not more than half, so unchanged
    label[4:6, 4:6] = 1
    own_pair(tmp_path / 'own', board, label)
    command = ['prepare', 'folder', str(tmp_path / 'own'), str(tmp_path / 'out'), '--size', '4', '--scale', '0.5']
    assert main(command) == 0
    assert (np.asarray(Image.open(tmp_path / 'out/train/A/town_0_0.png')) == 100).all()
    expected = np.zeros((4, 4), np.uint8)
    expected[2, 2] = 255
    assert (np.asarray(Image.open(tmp_path / 'out/train/label/town_0_0.png')) == expected).all()


@pytest.mark.parametrize('scale, given', [(1, 'nodata'), (2, 'nodata'), (1, 'value')])
def test_pixels_without_ground_truth_stay_without(tmp_path, capsys, scale, given):
    """255 of 8 bits times 255 is 1, a change; and a tile of 0 and 1 only would pass every later check."""
    rasterio = pytest.importorskip('rasterio')
    label = np.zeros((8, 16), np.uint8)
    label[:4, :4], label[:, 12:] = 1, 7 if given == 'value' else 255
    own_pair(tmp_path / 'own', np.full((8, 16, 3), 9, np.uint8), label)
    options = ['--ignore-value', '7'] if given == 'value' else []
    if given == 'nodata':
        (tmp_path / 'own/train/label/town.png').unlink()
        with rasterio.open(tmp_path / 'own/train/label/town.tif', 'w', driver='GTiff', count=1, height=8, width=16,
                           dtype='uint8', nodata=255, transform=rasterio.Affine(1, 0, 5, 0, -1, 9)) as file:
            file.write(label, 1)
    size = 8 * scale
    command = ['prepare', 'folder', str(tmp_path / 'own'), str(tmp_path / 'out'), '--size', str(size)]
    assert main([*command, *options, *(['--scale', str(scale)] if scale > 1 else [])]) == 0
    said = capsys.readouterr().out
    assert '1 tiles have pixels without ground truth, which are 128 in their labels: set ignore_value=128' in said
    tiles = [read_label(str(tmp_path / f'out/train/label/town_0_{column}.png'), 128) for column in (0, 1)]
    expected = np.kron(np.where(label == 1, 1, np.where(label > 1, 255, 0)), np.ones((scale, scale), int))
    assert (tiles[0] == expected[:, :size]).all() and (tiles[1] == expected[:, size:]).all()
    assert set(np.unique(tiles[1])) == {0, 255}


def test_what_an_image_does_not_show_is_no_ground_truth(tmp_path, capsys):
    """A collar of nodata at one date, transparency at the other: both beside changed and unchanged pixels."""
    rasterio = pytest.importorskip('rasterio')
    label = np.zeros((8, 16), np.uint8)
    label[:, :8] = 255
    own_pair(tmp_path / 'own', np.full((8, 16, 3), 9, np.uint8), label)
    a, b = np.full((3, 8, 16), 9, np.uint8), np.full((8, 16, 4), 255, np.uint8)
    a[:, :2, :4] = 0
    a[0, 5, 5] = 0  # of one band only: dark ground
    b[4:, 14:, 3] = 0
    for role in 'AB':
        (tmp_path / f'own/train/{role}/town.png').unlink()
    with rasterio.open(tmp_path / 'own/train/A/town.tif', 'w', driver='GTiff', count=3, height=8, width=16,
                       dtype='uint8', nodata=0, transform=rasterio.Affine(1, 0, 5, 0, -1, 9)) as file:
        file.write(a)
    Image.fromarray(b).save(tmp_path / 'own/train/B/town.png')
    assert main(['prepare', 'folder', str(tmp_path / 'own'), str(tmp_path / 'out'), '--size', '8']) == 0
    expected = label.copy()
    expected[:2, :4], expected[4:, 14:] = 128, 128
    tiles = [np.asarray(Image.open(tmp_path / f'out/train/label/town_0_{column}.png')) for column in (0, 1)]
    assert (np.hstack(tiles) == expected).all()
    said = ' '.join(capsys.readouterr().out.split())
    assert '2 tiles have pixels without ground truth' in said and '2 images have pixels without data' in said
    assert 'town.tif 6.2%' in said and 'town.png 6.2%' in said  # 8 of 128 each


def test_a_label_that_lies_elsewhere_is_refused(tmp_path, capsys):
    rasterio = pytest.importorskip('rasterio')
    own_pair(tmp_path / 'own', np.full((8, 8, 3), 9, np.uint8), np.zeros((8, 8), np.uint8))
    for role, left in (('A', 500000), ('B', 500000), ('label', 500001.5)):
        (tmp_path / f'own/train/{role}/town.png').unlink()
        with rasterio.open(tmp_path / f'own/train/{role}/town.tif', 'w', driver='GTiff', count=1, height=8, width=8,
                           dtype='uint8', transform=rasterio.Affine(.5, 0, left, 0, -.5, 5300000)) as file:
            file.write(np.zeros((1, 8, 8), np.uint8))
    assert main(['prepare', 'folder', str(tmp_path / 'own'), str(tmp_path / 'out'), '--size', '8']) == 1
    assert 'town: by its georeference label lies 3.0 px from A, but pixels are taken as they' in capsys.readouterr().out


@pytest.mark.parametrize('dataset, scale, message', [
    ('levircd', '2', 'levircd is cut as it is, so that scores can be compared'),
    ('folder', '0', 'scale 0: expected a factor from 1/16 to 16'),
])
def test_scale_is_refused(dataset, scale, message, tmp_path):
    own_pair(tmp_path / 'own', np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    with pytest.raises(SystemExit, match=message):
        main(['prepare', dataset, str(tmp_path / 'own'), str(tmp_path / 'out'), '--size', '8', '--scale', scale])


def test_another_scale_does_not_go_on_with_the_same_folder(tmp_path):
    own_pair(tmp_path / 'own', np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    command = ['prepare', 'folder', str(tmp_path / 'own'), str(tmp_path / 'out'), '--size', '8']
    assert main(command) == 0
    with pytest.raises(SystemExit, match='scale'):
        main([*command, '--scale', '2'])
