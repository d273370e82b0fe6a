"""Opening a work dir, and evaluating it once."""
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mamba_cd_plugin.engine.protocol_test_loop import choose_protocols
from mamba_cd_plugin.report import runs as runs_module
from mamba_cd_plugin.report.runs import (
    Record,
    Store,
    describe_parts,
    evaluate,
    file_state,
    fingerprint,
    open_run,
    open_runs,
)

CONFIG = 'cdmamba_v8_levircd.py'


@pytest.fixture(scope='module')
def finished(make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(CONFIG, tmp_path_factory.mktemp('finished') / 'v8')


@pytest.fixture
def work_dir(finished: Path, tmp_path: Path) -> Path:
    """A copy of its own for every test."""
    return Path(shutil.copytree(finished, tmp_path / 'v8'))


def test_what_a_work_dir_holds(work_dir: Path) -> None:
    run = open_run(str(work_dir))
    assert (run.name, run.checkpoint) == ('v8', work_dir / 'best_changed_F1.pth')
    assert describe_parts(run) == 'SiameseVSSM, toy, skip FuseThenVSS, edge DoGEdge, gate tanh'
    (work_dir / 'best_changed_F1.pth').rename(work_dir / 'best_mIoU_epoch_3.pth')
    shutil.copy(work_dir / 'best_mIoU_epoch_3.pth', work_dir / 'epoch_4.pth')
    assert open_run(str(work_dir)).checkpoint.name == 'best_mIoU_epoch_3.pth'
    assert open_run(str(work_dir), checkpoint='epoch_4.pth').checkpoint.name == 'epoch_4.pth'


def test_the_data_may_have_moved(work_dir: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_run(str(work_dir)).cfg.data_root == str(data_root)
    monkeypatch.setenv('MAMBA_CD_DATA', '/env')
    assert open_run(str(work_dir)).cfg.data_root == '/env'
    assert open_run(str(work_dir), cfg_options={'data_root': '/option'}).cfg.data_root == '/option'


@pytest.mark.parametrize('spoil, error, message', [
    (lambda d: shutil.rmtree(d), FileNotFoundError, 'is not a folder'),
    (lambda d: (d / 'v8.py').unlink(), FileNotFoundError, 'holds no config'),
    (lambda d: shutil.move(d / 'v8.py', d / 'a.py') and shutil.copy(d / 'a.py', d / 'b.py'), ValueError,
     r'several configs: a\.py, b\.py.*v8\.py'),
    (lambda d: (d / 'best_changed_F1.pth').rename(d / 'epoch_2.pth'), FileNotFoundError,
     r'checkpoints there: epoch_2\.pth.*--checkpoint'),
], ids=['folder', 'config', 'configs', 'checkpoint'])
def test_what_is_missing_is_named(work_dir: Path, spoil: Callable, error: type, message: str) -> None:
    spoil(work_dir)
    with pytest.raises(error, match=message):
        open_run(str(work_dir))


def test_wrong_arguments(work_dir: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'gone\.pth does not exist; checkpoints there: best_changed_F1\.pth'):
        open_run(str(work_dir), checkpoint='gone.pth')
    with pytest.raises(KeyError, match='no key .decode_heat'):
        open_run(str(work_dir), cfg_options={'model.decode_heat.threshold': 0.4})
    with pytest.raises(ValueError, match='1 names for 2 work dirs'):
        open_runs([str(work_dir)] * 2, ['one'])
    with pytest.raises(ValueError, match='several runs are called v8; tell them apart by --names'):
        open_runs([str(work_dir)] * 2)
    assert [run.name for run in open_runs([str(work_dir)] * 2, ['a', 'b'])] == ['a', 'b']


def test_store_keeps_every_bit(tmp_path: Path) -> None:
    store = Store(tmp_path / 'new', 2)
    maps = {'whole': np.arange(12, dtype=np.uint8).reshape(3, 4), 'tiles': np.ones((3, 4), np.uint8)}
    store.write(1, Record('päir', 'a.png', 'b.png', np.full((3, 4), 255, np.uint8), maps))
    assert store.missing() == [0]
    record = store.read(1)
    assert record[:3] == ('päir', 'a.png', 'b.png') and (record.truth == 255).all()
    assert all(np.array_equal(record.levels[key], maps[key]) for key in maps)
    assert [file.name for file in (tmp_path / 'new').iterdir()] == ['000001.npz']


def test_fingerprint_and_file_state(tmp_path: Path) -> None:
    assert fingerprint(a=1, b='x') == fingerprint(b='x', a=1) != fingerprint(a=2, b='x')
    file = tmp_path / 'x'
    file.write_text('1')
    before = file_state(str(file))
    file.write_text('22')
    assert file_state(str(file)) != before
    assert file_state('s3://bucket/x.png') == ['s3://bucket/x.png']


def test_evaluated_once_and_resumed(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predicted = []
    original = runs_module.predict_levels
    monkeypatch.setattr(runs_module, 'predict_levels', lambda model, batch, tile: predicted.append(
        (len(batch['inputs']), tile)) or original(model, batch, tile))
    run = open_run(str(work_dir))
    store = evaluate(run, 'test', 'cpu', tile=32)
    assert predicted == [(2, None), (2, 32), (2, None), (2, 32), (1, None), (1, 32)]
    assert [record.name for record in store] == [f'pair_{index}' for index in range(5)]
    assert all(set(record.levels) == {'whole', 'tiles'} for record in store)

    before = store.read(3)
    (store.folder / '000003.npz').unlink()
    predicted.clear()
    again = evaluate(run, 'test', 'cpu', tile=32)
    assert predicted == [(1, None), (1, 32)]
    assert (again.read(3).levels['tiles'] == before.levels['tiles']).all()
    predicted.clear()
    assert evaluate(run, 'test', 'cpu', tile=32).missing() == [] == predicted
    assert evaluate(run, 'test', 'cpu', tile=None).folder != store.folder
    evaluate(run, 'test', 'cpu', tile=32, fresh=True)
    assert sum(number for number, tile in predicted if tile) == 5


def test_other_weights_are_evaluated_anew(work_dir: Path) -> None:
    folder = evaluate(open_run(str(work_dir)), 'test', 'cpu', tile=None).folder
    checkpoint = torch.load(work_dir / 'best_changed_F1.pth', weights_only=True)
    checkpoint['state_dict']['decode_head.conv_seg.bias'] += 1
    torch.save(checkpoint, work_dir / 'best_changed_F1.pth')
    assert evaluate(open_run(str(work_dir)), 'test', 'cpu', tile=None).folder != folder


def test_data_that_cannot_be_scored(work_dir: Path, data_root: Path) -> None:
    options = {'test_dataloader.dataset.data_prefix': dict(seg_map_path=None)}
    with pytest.raises(ValueError, match='test split has no labels'):
        evaluate(open_run(str(work_dir), cfg_options=options), 'test', 'cpu', 32)
    with pytest.raises(FileNotFoundError, match='val'):
        evaluate(open_run(str(work_dir)), 'val', 'cpu', 32)


@pytest.mark.parametrize('shapes, tile, expected', [
    ([(64, 64)], 32, True), ([(64, 96), (32, 32)], 32, True), ([(32, 32)], 32, False), ([(64, 65)], 32, False),
    ([(64, 64)], None, False)])
def test_can_be_tiled(shapes: list, tile: int, expected: bool) -> None:
    assert (choose_protocols(set(shapes), tile)[1] is not None) is expected


def test_pictures_of_moved_images(work_dir: Path, data_root: Path, tmp_path: Path) -> None:
    """The stored maps alone make the numbers; only pictures need the images."""
    moved = tmp_path / 'moved'
    shutil.copytree(data_root, moved)
    store = evaluate(open_run(str(work_dir), cfg_options={'data_root': str(moved)}), 'test', 'cpu', None)
    shutil.rmtree(moved)
    assert store.read(0).image_a == str(moved / 'test/A/pair_0.png')
    label = np.asarray(Image.open(data_root / 'test/label/pair_0.png')) // 255
    assert (store.read(0).truth == label).all()
