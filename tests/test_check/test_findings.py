"""Every planted fault is found, by the check that is meant to, and nothing is found in a clean data set."""
import os
import shutil

import numpy as np
import pytest

from mamba_cd_plugin.preparation.check import Limits, check_dataset

FAULTS = {}


def fault(check, level, split='train', names=None):
    """Register a function that spoils a data set, with what should be found in it and nothing else."""

    def register(spoil):
        FAULTS[spoil.__name__] = (spoil, check, level, split, names)
        return spoil

    return register


@fault('missing_counterpart', 'error', names=['2'])
def missing_counterpart(root, **_):
    (root / 'train/B/2.png').unlink()


@fault('missing_folder', 'error')
def missing_folder(root, **_):
    shutil.rmtree(root / 'train/label')


@fault('extra_file', 'warning')
def text_among_images(root, **_):
    (root / 'train/A/notes.txt').write_text('hello')


@fault('extra_file', 'error')
def two_files_of_one_name(root, read, write):
    write(root / 'train/A/2.tif', read(root / 'train/A/2.png'))


@fault('unreadable', 'error')
def truncated_file(root, **_):
    path = root / 'train/A/1.png'
    path.write_bytes(path.read_bytes()[:2000])


@fault('unreadable', 'error')
def empty_file(root, **_):
    (root / 'train/label/1.png').write_bytes(b'')


@fault('unequal_size', 'error', names=['3'])
def cropped_counterpart(root, read, write):
    write(root / 'train/B/3.png', read(root / 'train/B/3.png')[:-1])


@fault('apart', 'error', names=['3'])
def label_that_lies_elsewhere(root, read, **_):
    """As tiles of a label that was rasterised with another origin; A and B agree to a tenth of a pixel."""
    rasterio = pytest.importorskip('rasterio')
    for role, left in (('A', 500000), ('B', 500000.05), ('label', 500002)):
        path = root / f'train/{role}/3.png'
        bands = np.atleast_3d(read(path)).transpose(2, 0, 1)
        path.unlink()
        with rasterio.open(path.with_suffix('.tif'), 'w', driver='GTiff', count=len(bands), height=bands.shape[1],
                           width=bands.shape[2], dtype='uint8', crs='EPSG:32632',
                           transform=rasterio.Affine(0.5, 0, left, 0, -0.5, 5300000)) as file:
            file.write(bands)


@fault('odd_size', 'warning', names=['3'])
def cropped_pair(root, read, write):
    for role in ('A', 'B', 'label'):
        write(root / f'train/{role}/3.png', read(root / f'train/{role}/3.png')[:, :-16])


@fault('mode', 'warning')
def grey_image(root, read, write):
    write(root / 'train/A/0.png', read(root / 'train/A/0.png')[..., 1])


@fault('mode', 'error')
def sixteen_bits(root, read, write):
    write(root / 'train/A/0.png', read(root / 'train/A/0.png')[..., 1].astype(np.uint16) * 256)


@fault('mode', 'warning')
def label_of_three_channels(root, read, write):
    write(root / 'train/label/0.png', read(root / 'train/label/0.png')[..., None].repeat(3, 2))


@fault('missing_data', 'warning')
def _a_transparent_corner(root, read, write):
    path = root / 'train/A/0.png'
    alpha = np.full(read(path).shape[:2], 255, np.uint8)
    alpha[:8, :8] = 0
    write(path, np.dstack([read(path), alpha]))
    return [path]


@fault('label_values', 'error')
def interpolated_label(root, read, write):
    label = read(root / 'train/label/4.png')
    label[0, :3] = 17, 128, 200
    write(root / 'train/label/4.png', label)


@fault('inverted', 'warning', names=['4'])
def inverted_label(root, read, write):
    write(root / 'train/label/4.png', 255 - read(root / 'train/label/4.png'))


@fault('inverted', 'error', split='val')
def inverted_split(root, read, write):
    for path in (root / 'val/label').iterdir():
        write(path, 255 - read(path))


@fault('no_change', 'error', split='val')
def empty_labels(root, read, write):
    for path in (root / 'val/label').iterdir():
        write(path, np.zeros_like(read(path)))


@fault('near_empty', 'note', names=['0'])
def sliver(root, read, write):
    label = np.zeros_like(read(root / 'train/label/0.png'))
    label[5, 5:9] = 255  # 4 of 9216 pixels are 0.043 %
    write(root / 'train/label/0.png', label)


@fault('blank_image', 'warning')
def black_image(root, read, write):
    write(root / 'train/B/5.png', np.zeros_like(read(root / 'train/B/5.png')))


@fault('blank_image', 'warning')
def constant_image(root, read, write):
    write(root / 'train/B/5.png', np.full_like(read(root / 'train/B/5.png'), 77))


@fault('identical_dates', 'error', names=['5'])
def one_date_twice(root, read, write):
    shutil.copy(root / 'train/A/5.png', root / 'train/B/5.png')


@fault('duplicate', 'warning', names=['0 = copy'])
def duplicate_pair(root, **_):
    for role in ('A', 'B', 'label'):
        shutil.copy(root / f'train/{role}/0.png', root / f'train/{role}/copy.png')


@fault('duplicate', 'error', names=['0 = copy'])
def duplicate_pair_with_another_label(root, **_):
    duplicate_pair(root)
    shutil.copy(root / 'train/label/1.png', root / 'train/label/copy.png')


@fault('leak', 'error', split='', names=['train/A/3 = val/A/copy', 'train/B/3 = val/B/copy'])
def pair_in_two_splits(root, **_):
    """Under another name."""
    for role in ('A', 'B', 'label'):
        shutil.copy(root / f'train/{role}/3.png', root / f'val/{role}/copy.png')


@fault('leak', 'error', split='', names=['train/B/3 = val/A/copy'])
def image_in_two_splits_as_another_date(root, read, write):
    shutil.copy(root / 'train/B/3.png', root / 'val/A/copy.png')
    write(root / 'val/B/copy.png', read(root / 'train/A/3.png') // 2 + 20)
    shutil.copy(root / 'train/label/3.png', root / 'val/label/copy.png')


@fault('interrupted', 'error', split='test.partial')
def half_a_conversion(root, read, write):
    for role in ('A', 'B', 'label'):
        (root / 'test.partial' / role).mkdir(parents=True)
        picture = read(root / f'val/{role}/0.png')
        write(root / f'test.partial/{role}/0.png', picture[::-1])


def test_clean(clean):
    result = check_dataset(str(clean))
    assert result.findings == []
    assert [(split.name, len(split.pairs)) for split in result.splits] == [('train', 10), ('val', 5)]


def test_at_least_twelve_kinds():
    assert len({check for _, check, *_ in FAULTS.values()} | {'misregistered', 'common_shift', 'unmatched'}) >= 12


@pytest.mark.parametrize('name', FAULTS)
def test_planted_fault(name, root, read, write):
    spoil, check, level, split, names = FAULTS[name]
    spoil(root, read=read, write=write)
    findings = check_dataset(str(root)).findings
    assert [(found.check, found.level, found.split) for found in findings] == [(check, level, split)]
    if names is not None:
        assert findings[0].names == names


def test_all_at_once(root, read, write):
    """One pass finds them all; none hides another."""
    for spoil in (pair_in_two_splits, missing_counterpart, text_among_images, truncated_file, cropped_counterpart,
                  grey_image, interpolated_label, black_image, inverted_split):
        spoil(root, read=read, write=write)
    found = {finding.check for finding in check_dataset(str(root)).findings}
    assert found >= {'missing_counterpart', 'extra_file', 'unreadable', 'unequal_size', 'mode', 'label_values',
                     'blank_image', 'leak', 'inverted'}


def test_clutter_of_operating_systems_is_no_fault(root):
    for name in ('.DS_Store', 'Thumbs.db'):
        (root / 'train/A' / name).write_bytes(b'x')
    assert check_dataset(str(root)).findings == []


def test_black_borders_are_neither_duplicates_nor_leaks(root, read, write):
    black = np.zeros_like(read(root / 'train/A/0.png'))
    for path in ('train/A/0.png', 'train/B/0.png', 'train/A/1.png', 'train/B/1.png', 'val/A/0.png'):
        write(root / path, black)
    assert {finding.check for finding in check_dataset(str(root)).findings} == {'blank_image'}


def test_splits_as_lists(clean, tmp_path):
    """Folders that all splits share, and a list for each; a name that no file has is a missing one in all three."""
    for role in ('A', 'B', 'label'):
        (tmp_path / role).mkdir()
        for split in ('train', 'val'):
            for path in (clean / split / role).iterdir():
                shutil.copy(path, tmp_path / role / f'{split}_{path.name}')
    (tmp_path / 'list').mkdir()
    (tmp_path / 'list/train.txt').write_text('\n'.join(f'train_{i}.png' for i in range(10)))
    (tmp_path / 'list/val.txt').write_text('\n'.join(f'val_{i}' for i in range(5)))
    result = check_dataset(str(tmp_path))
    assert result.findings == [] and [len(split.pairs) for split in result.splits] == [10, 5]
    (tmp_path / 'list/val.txt').write_text('val_0\nval_77\ntrain_0')
    findings = check_dataset(str(tmp_path)).findings
    assert [(found.check, found.names) for found in findings if found.check == 'missing_counterpart'] == [
        ('missing_counterpart', ['val_77'])] * 3
    assert [found.check for found in findings if found.check != 'missing_counterpart'] == ['leak']


def test_ignored_pixels(root, read, write):
    label = read(root / 'train/label/4.png')
    label[:40] = 100
    write(root / 'train/label/4.png', label)
    assert [found.check for found in check_dataset(str(root)).findings] == ['label_values']
    result = check_dataset(str(root), ignore_value=100)
    assert result.findings == []
    pair = result.splits[0].pairs[4]
    assert pair.changed == pytest.approx((label[40:] > 0).mean())


def test_selected_splits_and_limits(root, read, write):
    sliver(root, read=read, write=write)
    assert check_dataset(str(root), ['val']).findings == []
    assert check_dataset(str(root), limits=Limits(sliver=0.)).findings == []


def test_no_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match='is not a folder'):
        check_dataset(str(tmp_path / 'nowhere'))
    os.makedirs(tmp_path / 'images')
    with pytest.raises(FileNotFoundError, match='holds no data set: expected folders such as train .* found images'):
        check_dataset(str(tmp_path))


def test_unknown_split(clean):
    with pytest.raises(FileNotFoundError, match='has no split test; there are train, val'):
        check_dataset(str(clean), ['test'])
