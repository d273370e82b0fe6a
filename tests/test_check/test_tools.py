"""The command lines: what they print, write and return."""
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.preparation.check.contact_sheet import Sample, draw_contact_sheet

ROOT = Path(__file__).parents[2]


def run(tool, monkeypatch, *arguments):
    """Exit status of a tool."""
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    try:
        runpy.run_path(str(ROOT / f'tools/analysis_tools/{tool}'), run_name='__main__')
    except SystemExit as ended:
        return ended.code
    return 0


def test_check_of_clean_data(clean, read, monkeypatch, capsys):
    assert run('check_dataset.py', monkeypatch, clean) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].split()[:7] == ['split', 'pairs', 'size', 'changed', 'without', 'change', 'near-empty']
    changed = np.mean([read(path) > 0 for path in (clean / 'val/label').iterdir()])
    assert lines[2].split()[:7] == ['val', '5', '96', 'x', '96', f'{changed:.2%}', '0']
    assert lines[-1] == f'{clean}: 0 errors, 0 warnings, 0 notes'


def test_check_exit_status(root, monkeypatch, capsys):
    (root / 'train/A/notes.txt').write_text('x')
    assert run('check_dataset.py', monkeypatch, root) == 0
    assert 'WARNING extra_file in train: not an image' in capsys.readouterr().out
    assert run('check_dataset.py', monkeypatch, root, '--strict') == 1
    (root / 'val/B/1.png').unlink()
    assert run('check_dataset.py', monkeypatch, root) == 1
    said = capsys.readouterr().out
    assert 'ERROR missing_counterpart in val: no file in B' in said and '1: 1' in said
    assert said.rstrip().endswith('1 error, 1 warning, 0 notes')


def test_check_json(root, read, write, move, tmp_path, monkeypatch, capsys):
    write(root / 'train/B/2.png', move(read(root / 'train/B/2.png'), 3., 0.))
    assert run('check_dataset.py', monkeypatch, root, '--json', '-') == 0
    found = json.loads(capsys.readouterr().out)
    assert [(finding['check'], finding['names']) for finding in found['findings']] == [('misregistered', ['2'])]
    train, val = found['splits']
    assert (train['name'], train['pairs'], train['sizes'], val['pairs']) == ('train', 10, {'96 x 96': 10}, 5)
    assert train['shifts']['2']['dx'] == pytest.approx(3, abs=0.1)
    assert run('check_dataset.py', monkeypatch, root, '--json', tmp_path / 'found.json', '--max-shift', 4) == 0
    assert json.loads((tmp_path / 'found.json').read_text())['findings'] == []
    assert 'split' in capsys.readouterr().out  # and the table as always


def test_check_of_nothing(tmp_path, monkeypatch):
    assert str(run('check_dataset.py', monkeypatch, tmp_path)).startswith(f'error: {tmp_path} holds no data set')


def test_browse_shows_what_the_model_gets(clean, tmp_path, monkeypatch):
    """Without augmentation the sheet shows the files; with it, other pictures at each draw, the same for one seed."""
    config = ROOT / 'configs/_base_/datasets/synthetic.py'
    monkeypatch.setenv('MAMBA_CD_DATA', str(clean))
    arguments = ('--num', 1, '--draws', 1, '--out')
    assert run('browse_dataset.py', monkeypatch, config, *arguments, tmp_path / 'val', '--split', 'val') == 0
    sheet = np.asarray(Image.open(tmp_path / 'val/val_00.png'))
    picture = np.asarray(Image.open(clean / 'val/A/0.png')).repeat(2, 0).repeat(2, 1)  # 96 px are enlarged to 192
    left, top = 6, 6 + 2 * 19  # caption and headings, lines of 19 px for letters of 11
    assert (sheet[top:top + 192, left:left + 192] == picture).all()
    for name in ('a', 'b'):
        run('browse_dataset.py', monkeypatch, config, '--num', 5, '--draws', 3, '--out', tmp_path / name)
    # 15 samples
    assert sorted(path.name for path in (tmp_path / 'a').glob('*.png')) == ['train_00.png', 'train_01.png']
    assert (tmp_path / 'a/train_00.png').read_bytes() == (tmp_path / 'b/train_00.png').read_bytes()
    sheet = np.asarray(Image.open(tmp_path / 'a/train_00.png'))
    columns = sheet.shape[1] // 2
    assert (sheet[top:top + 192, :columns] != sheet[top:top + 192, -columns:]).any()


def test_sheet_of_samples_of_different_size():
    pictures = [np.zeros((side, 8, 3), np.uint8) for side in (8, 9)]
    samples = [Sample(picture, picture, picture[..., 0], '') for picture in pictures]
    with pytest.raises(ValueError, match='of one size, these have 8 x 8, 8 x 9'):
        draw_contact_sheet(samples)
    with pytest.raises(ValueError, match='there are no samples'):
        draw_contact_sheet([])
