"""Downloads in every layout are cut into the right tiles, also when something is missing, broken or interrupted."""
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mamba_cd_plugin.datasets import PairCDDataset
from mamba_cd_plugin.preparation.convert import CATALOG, Converter, Tiling, format_reports
from mamba_cd_plugin.preparation.convert.split_folder import SplitFolder

IMAGE_SETS = [key for key in CATALOG if not CATALOG[key].rasters]
FOURS = Tiling(size=4)


def convert(facts, source, out, tiling=FOURS, **options):
    return Converter(facts, str(source), str(out), tiling, workers=2, progress=False, **options).run()


def names(folder):
    return sorted(os.listdir(folder))


def snapshot(root):
    """Content of every file that a training run reads."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*.png')}


@pytest.mark.parametrize('key', IMAGE_SETS)
def test_tiles_of_every_layout(key, small, download, tmp_path, read, folders):
    facts = small(key, **dict.fromkeys(CATALOG[key].splits, 2))
    source, out = download(facts), tmp_path / 'out'
    reports = convert(facts, source, out)
    # 8 x 8 pixels give 2 x 2 tiles of 4.
    assert {split: (report.images, report.tiles) for split, report in reports.items()} == dict.fromkeys(
        facts.splits, (2, 8))
    assert all(report.is_complete and report.is_in_place for report in reports.values())
    expected = [f'train_{image}_{row}_{column}.png' for image in (1, 2) for row in (0, 1) for column in (0, 1)]
    assert [names(out / 'train' / role) for role in ('A', 'B', 'label')] == [expected] * 3
    for folder, role in zip(folders[key], ('A', 'B', 'label')):
        whole = read(source / f'test/{folder}/test_2.png')
        assert (read(out / f'test/{role}/test_2_1_0.png') == whole[4:8, 0:4]).all()
    assert names(out) == sorted(facts.splits)  # nothing else is left behind


def test_training_reads_what_was_written(small, download, tmp_path):
    facts = small('levircd', train=2, val=1, test=1)
    convert(facts, download(facts), tmp_path / 'out')
    assert len(PairCDDataset(split='train', data_root=str(tmp_path / 'out'))) == 8


def test_overlap_covers_every_pixel(small, download, tmp_path, read):
    facts = small('clcd', side=10, train=1, val=1, test=1)
    source = download(facts)
    report = convert(facts, source, tmp_path / 'out', Tiling(size=4, overlap=1))['train']
    assert report.tiles == 9  # starts at 0, 3 and 6
    whole, tiled = read(source / 'train/time1/train_1.png'), np.zeros((10, 10, 3), np.uint8)
    for row in range(3):
        for column in range(3):
            tile = read(tmp_path / f'out/train/A/train_1_{row}_{column}.png')
            tiled[3 * row:3 * row + 4, 3 * column:3 * column + 4] = tile
    assert (tiled == whole).all()


def test_labels_of_0_and_1_become_0_and_255(small, download, tmp_path, save, read, mask):
    facts = small('levircd', train=1, val=1, test=1)
    source = download(facts)
    save(source / 'train/label/train_1.png', mask(8, 8, 0, value=1))
    convert(facts, source, tmp_path / 'out')
    assert (read(tmp_path / 'out/train/label/train_1_0_0.png') == mask(8, 8, 0)[:4, :4]).all()


def test_a_published_data_set_with_transparency_is_told_and_cut_as_it_is(small, download, tmp_path, save, read, pixels):
    facts = small('clcd', train=1)
    source = download(facts)
    clear = np.dstack([pixels(8, 8, 1), np.full((8, 8), 255, np.uint8)])
    clear[:2, :, 3] = 0
    save(source / 'train/time1/train_1.png', clear)
    reports = convert(facts, source, tmp_path / 'out')
    told = format_reports(facts, FOURS, 'out', reports)
    assert 'train_1.png 25.0%. They are taken for ground, since CLCD is cut as it was published' in told
    assert set(np.unique(read(tmp_path / 'out/train/label/train_1_0_0.png'))) <= {0, 255}


def test_zips_as_they_are_offered(small, download, pack, tmp_path):
    """LEVIR-CD comes as three zips without a folder of the split, LEVIR-CD+ as one with everything."""
    facts = small('levircd', train=2, val=1, test=1)
    source = download(facts)
    convert(facts, source, tmp_path / 'from_folders')
    for split in facts.splits:
        pack(source / split, tmp_path / f'zips/{split}.zip')
    with zipfile.ZipFile(tmp_path / 'zips/train.zip', 'a') as packed:  # what macOS adds
        packed.writestr('__MACOSX/A/._train_1.png', b'')
        packed.writestr('A/.DS_Store', b'')
    convert(facts, tmp_path / 'zips', tmp_path / 'from_zips')
    pack(source, tmp_path / 'LEVIR-CD.zip')
    convert(facts, tmp_path / 'LEVIR-CD.zip', tmp_path / 'from_one_zip')
    assert snapshot(tmp_path / 'from_zips') == snapshot(tmp_path / 'from_folders')
    assert snapshot(tmp_path / 'from_one_zip') == snapshot(tmp_path / 'from_folders')


def test_zips_unpacked_over_each_other(small, download, tmp_path):
    facts = small('levircd', train=2, val=1, test=1)
    source = download(facts)
    convert(facts, source, tmp_path / 'out')
    merged = tmp_path / 'merged'
    for split in facts.splits:
        shutil.copytree(source / split, merged, dirs_exist_ok=True)
    convert(facts, merged, tmp_path / 'from_merged')
    assert snapshot(tmp_path / 'from_merged') == snapshot(tmp_path / 'out')


def test_zip_beside_what_was_unpacked_and_an_earlier_conversion_are_no_second_copy(small, download, pack, tmp_path):
    facts = small('levircd', train=1, val=1, test=1)
    source = download(facts)
    pack(source / 'train', source / 'train.zip')
    assert convert(facts, source, source / 'tiles_of_4')['train'].is_complete
    assert convert(facts, source, tmp_path / 'out')['train'].is_complete


def test_two_copies_are_refused(small, download, tmp_path):
    facts = small('levircd', train=1, val=1, test=1)
    source = download(facts)
    shutil.copytree(source / 'train', source / 'copy/train')
    with pytest.raises(ValueError, match=r'copy/train/A/train_1.png and .*claim the same place'):
        convert(facts, source, tmp_path / 'out')


def test_missing_files_are_named_and_the_split_is_not_taken_for_complete(small, download, tmp_path):
    facts = small('levircd', train=3, val=1, test=1)
    source = download(facts)
    (source / 'train/B/train_1.png').unlink()
    for role in ('A', 'B', 'label'):
        (source / f'train/{role}/train_3.png').unlink()
    reports = convert(facts, source, tmp_path / 'out')
    train = reports['train']
    assert (train.images, train.tiles, train.is_complete, train.is_in_place) == (1, 4, False, False)
    assert train.problems == [
        f"train_1: no file for B (there is {source}/train/A/train_1.png, {source}/train/label/train_1.png)",
        'not found: train_3']
    assert names(tmp_path / 'out') == ['test', 'train.partial', 'val']
    with pytest.raises(FileNotFoundError, match=r'train/A is not a folder; .* holds: test, train.partial, val'):
        PairCDDataset(split='train', data_root=str(tmp_path / 'out'))


def test_missing_split(small, download, tmp_path):
    facts = small('clcd', train=1, val=1, test=1)
    source = download(facts)
    shutil.rmtree(source / 'val')
    reports = convert(facts, source, tmp_path / 'out')
    assert reports['val'].problems == ['no file of this split was found']
    assert reports['train'].is_in_place and not reports['val'].is_in_place
    assert names(tmp_path / 'out') == ['test', 'train']


def test_unknown_numbers_are_counted(small, download, tmp_path):
    facts = small('sysu_cd', train=2, val=1, test=1)
    source = download(facts)
    more = replace(facts, splits={**facts.splits, 'train': facts.splits['train']._replace(images=5)})
    assert convert(more, source, tmp_path / 'a')['train'].problems == ['3 of 5 pairs were not found']
    fewer = replace(facts, splits={**facts.splits, 'train': facts.splits['train']._replace(images=1)})
    report = convert(fewer, source, tmp_path / 'b')['train']
    assert report.problems == ['2 pairs were found, officially there are 1']
    assert not report.is_in_place


def test_broken_files_are_named(small, download, tmp_path, save, pixels, mask):
    facts = small('levircd', train=5, val=1, test=1)
    source = download(facts)
    path = source / 'train/A/train_1.png'
    path.write_bytes(path.read_bytes()[:60])
    save(source / 'train/label/train_2.png', np.arange(64, dtype=np.uint8).reshape(8, 8))
    save(source / 'train/B/train_3.png', pixels(8, 6, 0))
    for role, image in (('A', pixels(16, 16, 1)), ('B', pixels(16, 16, 2)), ('label', mask(16, 16, 3))):
        save(source / f'train/{role}/train_4.png', image)
    report = convert(facts, source, tmp_path / 'out')['train']
    assert (report.images, report.tiles) == (1, 4)
    first, second, third, fourth = report.problems
    assert first.startswith(f'train_1: {path}: cannot be read as an image (60 bytes)')
    assert 'train_2.png: label values 0, 1, 2, 3, 4 and 59 more; expected only 0 and 1' in second
    assert 'train_3: A is 8 x 8, B is 6 x 8, label is 8 x 8 pixels; expected one size' in third
    assert fourth == 'train_4: 16 x 16 pixels, officially 8 x 8'


def test_broken_zips_are_named(small, download, pack, tmp_path):
    facts = small('levircd', train=2, val=1, test=1)
    zips = tmp_path / 'zips'
    source = download(facts)
    for split in facts.splits:
        pack(source / split, zips / f'{split}.zip')
    content = bytearray((zips / 'train.zip').read_bytes())
    place = content.index((source / 'train/A/train_1.png').read_bytes())
    content[place + 50] ^= 255
    (zips / 'train.zip').write_bytes(content)
    report = convert(facts, zips, tmp_path / 'out')['train']
    assert report.problems[0].startswith(f'train_1: A/train_1.png in {zips}/train.zip cannot be unpacked: Bad CRC-32')
    (zips / 'train.zip').write_bytes(content[:len(content) // 2])
    with pytest.raises(ValueError, match=r'train.zip is not a complete zip'):
        convert(facts, zips, tmp_path / 'out2')


def test_nothing_of_the_data_set(small, tmp_path, save, pixels):
    facts = small('s2looking', train=1, val=1, test=1)
    save(tmp_path / 'source/train/A/1.png', pixels(8, 8, 0))
    with pytest.raises(ValueError, match=r'no file of S2Looking found. Expected train\|val\|test / Image1, Image2, '
                       'label. Found 1 files in the folders train/A'):
        convert(facts, tmp_path / 'source', tmp_path / 'out')
    (tmp_path / 'packed').mkdir()
    (tmp_path / 'packed/S2Looking.rar').touch()
    with pytest.raises(ValueError, match='Found S2Looking.rar; only zips are read directly'):
        convert(facts, tmp_path / 'packed', tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match='neither a folder nor a zip'):
        convert(facts, tmp_path / 'nowhere', tmp_path / 'out')


def test_added_files_complete_the_split(small, download, tmp_path):
    facts = small('levircd', train=3, val=1, test=1)
    source, out = download(facts), tmp_path / 'out'
    convert(facts, source, tmp_path / 'at_once')
    away = (source / 'train/label/train_2.png').rename(tmp_path / 'away.png')
    assert not convert(facts, source, out)['train'].is_in_place
    accepted = convert(facts, source, out, accept_incomplete=True)['train']
    assert accepted.is_in_place and not accepted.is_complete and accepted.tiles == 8
    away.rename(source / 'train/label/train_2.png')
    assert convert(facts, source, out)['train'].is_complete
    assert snapshot(out) == snapshot(tmp_path / 'at_once')


class Interrupted(BaseException):
    """Like KeyboardInterrupt, which pytest would take for itself."""


@pytest.mark.parametrize('writes', [0, 1, 7, 13, 30])
def test_interruption(writes, small, download, tmp_path, monkeypatch):
    facts = small('levircd', train=3, val=1, test=1)
    source, out = download(facts), tmp_path / 'out'
    convert(facts, source, tmp_path / 'at_once')
    rename, done = os.replace, []

    def replace_or_stop(old, new):
        if str(new).endswith('.png'):
            if len(done) == writes:
                raise Interrupted
            done.append(new)
        rename(old, new)

    monkeypatch.setattr(os, 'replace', replace_or_stop)
    with pytest.raises(Interrupted):
        convert(facts, source, out)
    monkeypatch.undo()
    assert not (out / 'train').exists()
    in_train = sum('train.partial' in str(path) for path in done)
    assert len(list((out / 'train.partial').rglob('*.png'))) == in_train
    assert all(report.is_complete for report in convert(facts, source, out).values())
    assert snapshot(out) == snapshot(tmp_path / 'at_once')
    assert not list(out.rglob('*.part*.png'))


def test_process_killed(small, download, tmp_path):
    """The same from outside: nothing of the process is left that could tidy up."""
    facts = small('levircd', train=3, val=1, test=1)
    source, out = download(facts), tmp_path / 'out'
    convert(facts, source, tmp_path / 'at_once')
    script = f"""
import os, signal
from dataclasses import replace
from mamba_cd_plugin.preparation.convert import CATALOG, Converter, Tiling
from mamba_cd_plugin.preparation.convert.catalog import OfficialSplit
rename, left = os.replace, [17]
def replace_or_die(old, new):
    left[0] -= str(new).endswith('.png')
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(old, new)
os.replace = replace_or_die
facts = replace(CATALOG['levircd'], splits={{
    split: OfficialSplit(images, 8, 8) for split, images in (('train', 3), ('val', 1), ('test', 1))}})
Converter(facts, {str(source)!r}, {str(out)!r}, Tiling(size=4), workers=2, progress=False).run()
"""
    assert subprocess.run([sys.executable, '-c', script], capture_output=True).returncode == -signal.SIGKILL
    assert not (out / 'train').exists() and list((out / 'train.partial').rglob('*.png'))
    assert all(report.is_complete for report in convert(facts, source, out).values())
    assert snapshot(out) == snapshot(tmp_path / 'at_once')


def test_what_is_done_is_not_done_again(small, download, tmp_path, monkeypatch):
    facts = small('levircd', train=3, val=1, test=1)
    source, out = download(facts), tmp_path / 'out'
    convert(facts, source, out)
    (out / 'train/B/train_2_0_1.png').unlink()
    (out / 'train/A/train_3_0_0.png').write_bytes(b'')  # as a power failure leaves it
    written = []
    write = SplitFolder.write
    monkeypatch.setattr(SplitFolder, 'write', lambda self, name, tile: (written.append(name), write(self, name, tile)))
    assert convert(facts, source, out)['train'].is_complete
    assert sorted(written) == [f'train_{image}_{place}' for image in (2, 3) for place in ('0_0', '0_1', '1_0', '1_1')]
    written.clear()
    assert convert(facts, source, out)['train'].is_complete and not written


def test_journal_cut_short(small, download, tmp_path):
    facts = small('levircd', train=3, val=1, test=1)
    source, out = download(facts), tmp_path / 'out'
    convert(facts, source, out)
    (out / 'train').rename(out / 'train.partial')
    journal = out / 'train.partial/done.jsonl'
    journal.write_text(journal.read_text()[:-9])
    assert convert(facts, source, out)['train'].is_complete
    assert len([json.loads(line) for line in (out / 'train/done.jsonl').read_text().splitlines()]) == 3


def test_other_settings_are_not_mixed(small, download, tmp_path):
    facts = small('levircd', train=1, val=1, test=1)
    source, out = download(facts), tmp_path / 'out'
    convert(facts, source, out)
    with pytest.raises(FileExistsError, match=r'train was made with other settings: size 4 \(now 2\)'):
        convert(facts, source, out, Tiling(size=2))
    (tmp_path / 'mine/train/A').mkdir(parents=True)
    with pytest.raises(FileExistsError, match='was not made by this conversion'):
        convert(facts, source, tmp_path / 'mine')


def test_full_disk_is_no_broken_source(small, download, tmp_path, monkeypatch):
    facts = small('levircd', train=2, val=1, test=1)
    source = download(facts)

    def full(self, name, tile):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(SplitFolder, 'write', full)
    with pytest.raises(OSError, match='No space left'):
        convert(facts, source, tmp_path / 'out')


def test_validation_set_aside(small, download, tmp_path):
    """Of 10 images the share of 0.2 sets aside the last two by number, not by letter."""
    facts = small('levircd_plus', train=10, test=1)
    source, out = download(facts), tmp_path / 'out'
    reports = convert(facts, source, out, Tiling(size=8, val_share=0.2))
    assert {split: report.tiles for split, report in reports.items()} == dict(train=8, val=2, test=1)
    assert names(out / 'val/A') == ['train_10_0_0.png', 'train_9_0_0.png']


def test_validation_set_aside_never_shares_a_pair_with_training(small, download, tmp_path):
    """With a pair missing, another one is set aside; once it is added, that one goes back."""
    facts = small('levircd_plus', train=10, test=1)
    source, out, tiling = download(facts), tmp_path / 'out', Tiling(size=8, val_share=0.2)
    away = (source / 'train/A/train_10.png').rename(tmp_path / 'away.png')
    convert(facts, source, out, tiling, accept_incomplete=True)
    assert names(out / 'val/A') == ['train_8_0_0.png', 'train_9_0_0.png']
    away.rename(source / 'train/A/train_10.png')
    reports = convert(facts, source, out, tiling)
    assert all(report.is_complete for report in reports.values())
    assert names(out / 'val/A') == ['train_10_0_0.png', 'train_9_0_0.png']
    assert 'train_8_0_0.png' in names(out / 'train/A')
    assert set(names(out / 'val/A')).isdisjoint(names(out / 'train/A'))
