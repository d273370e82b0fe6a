"""WHU-CD: both releases of the rasters, which are read window by window."""
import builtins
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.preparation.convert import CATALOG, Converter, OfficialSplit, Tiling

pytest.importorskip('rasterio')

# Real rasters say where on Earth they lie.
pytestmark = pytest.mark.filterwarnings('ignore:Dataset has no geotransform')

HEIGHT, TRAIN, TEST = 18, 43, 21  # in tiles of 4: 4 rows, 10 and 5 columns, and a rest each time
AREAS = 'Building change detection dataset_add/1. The two-period image data'
FOURS = Tiling(size=4, edges='drop', val_share=0.2)
# 10 columns of which 2 are set aside: train ends at 32. 43 - 32 = 11 leaves 2 columns for val.
TILES = dict(train=4 * 8, val=4 * 2, test=4 * 5)


@pytest.fixture
def whole(pixels, mask):
    """Both images and the label of the whole area, of which the last column of train is the first of test."""
    width = TRAIN + TEST - 1
    return pixels(HEIGHT, width, 1), pixels(HEIGHT, width, 2), mask(HEIGHT, width, 3, value=1)


@pytest.fixture
def whu():
    """WHU-CD at small size."""
    facts = CATALOG['whu_cd']
    areas, one = facts.releases
    one = replace(one, columns={'train': (0, TRAIN - 1), 'test': (TRAIN - 1, TRAIN + TEST - 1)})
    return replace(facts, releases=(areas, one),
                   splits={'train': OfficialSplit(1, HEIGHT, TRAIN), 'test': OfficialSplit(1, HEIGHT, TEST)})


@pytest.fixture
def second_release(whole, save, tmp_path):
    """`Building change detection dataset_add`: one raster for each year and area, labels of 0 and 1."""
    root = tmp_path / 'download'
    a, b, label = whole
    for split, columns in (('train', slice(0, TRAIN)), ('test', slice(TRAIN - 1, None))):
        save(root / AREAS / f'2012/whole_image/{split}/image/2012_{split}.tif', a[:, columns])
        save(root / AREAS / f'2016/whole_image/{split}/image/2016_{split}.tif', b[:, columns])
        save(root / AREAS / f'change_label/{split}/change_label.tif', label[:, columns])
        # Footprints of one year and the tiles of the release: not what is looked for.
        save(root / AREAS / f'2012/whole_image/{split}/label/2012_{split}.tif', label[:, columns])
        save(root / AREAS / f'2012/splited_images/{split}/image/0_1.tif', a[:4, :4])
    return root


@pytest.fixture
def first_release(whole, save, tmp_path):
    """`Building change detection dataset`: one raster for each year, and a label of one bit."""
    root = tmp_path / 'first'
    a, b, label = whole
    save(root / 'before/before.tif', a)
    save(root / 'after/after.tif', b)
    save(root / 'before/before_label.tif', label)
    path = root / 'change label/change_label.tif'
    path.parent.mkdir(parents=True)
    Image.fromarray(label.astype(bool)).save(path)
    return root


def convert(facts, source, out, tiling=FOURS):
    return Converter(facts, str(source), str(out), tiling, workers=2, progress=False).run()


def check_tiles(out, whole, read):
    a, b, label = whole
    for name, left in (('train/{}/train_3_7', 28), ('val/{}/val_3_1', 36), ('test/{}/test_3_4', TRAIN - 1 + 16)):
        place = slice(12, 16), slice(left, left + 4)
        for role, array in (('A', a), ('B', b), ('label', label * 255)):
            assert (read(out / f'{name.format(role)}.png') == array[place]).all(), (name, role)


def test_release_by_areas(whu, second_release, whole, tmp_path, read):
    out = tmp_path / 'out'
    reports = convert(whu, second_release, out)
    assert {split: report.tiles for split, report in reports.items()} == TILES
    assert all(report.is_complete for report in reports.values())
    check_tiles(out, whole, read)
    assert sorted(path.name for path in out.iterdir()) == ['test', 'train', 'val']


def test_release_as_a_whole(whu, first_release, whole, tmp_path, read):
    reports = convert(whu, first_release, tmp_path / 'out')
    assert {split: report.tiles for split, report in reports.items()} == TILES
    check_tiles(tmp_path / 'out', whole, read)


def test_zip(whu, second_release, whole, pack, tmp_path, read):
    pack(second_release, tmp_path / 'zips/dataset_add.zip')
    reports = convert(whu, tmp_path / 'zips', tmp_path / 'out')
    assert all(report.is_complete for report in reports.values())
    check_tiles(tmp_path / 'out', whole, read)


def test_official_areas_alone(whu, second_release, tmp_path):
    """With `shift` the borders are covered too: 5 rows, 11 columns of train and 6 of test."""
    reports = convert(whu, second_release, tmp_path / 'out', Tiling(size=4, edges='shift'))
    assert {split: report.tiles for split, report in reports.items()} == dict(train=5 * 11, test=5 * 6)


def test_missing_and_broken_rasters(whu, second_release, tmp_path):
    (second_release / AREAS / '2016/whole_image/train/image/2016_train.tif').unlink()
    (second_release / AREAS / '2012/whole_image/test/image/2012_test.tif').write_bytes(b'II*\0')
    reports = convert(whu, second_release, tmp_path / 'out')
    assert reports['train'].problems[0].startswith('train: no file for B (there is ')
    assert '2012_test.tif' in reports['test'].problems[0]
    assert not any(report.is_in_place for report in reports.values())


def test_rasters_of_different_size(whu, second_release, save, tmp_path, pixels):
    save(second_release / AREAS / '2016/whole_image/test/image/2016_test.tif', pixels(HEIGHT, TEST - 1, 0))
    problems = convert(whu, second_release, tmp_path / 'out')['test'].problems
    assert 'A is 21 x 18, B is 20 x 18, label is 21 x 18 pixels; expected one size' in problems[0]


def test_interruption(whu, second_release, tmp_path, monkeypatch):
    """Rows that are done stay done."""
    out = tmp_path / 'out'
    convert(whu, second_release, tmp_path / 'at_once')
    row_seven = f'{out}/train.partial/label/train_2_3.png'
    rename = os.replace

    def stop(old, new):
        if str(new) == row_seven:
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(os, 'replace', stop)
    with pytest.raises(KeyboardInterrupt):
        convert(whu, second_release, out)
    monkeypatch.setattr(os, 'replace', rename)
    assert all(report.is_complete for report in convert(whu, second_release, out).values())
    tiles = {path.relative_to(out): path.read_bytes() for path in out.rglob('*.png')}
    assert tiles == {path.relative_to(tmp_path / 'at_once'): path.read_bytes()
                     for path in (tmp_path / 'at_once').rglob('*.png')}
    assert len(tiles) == 3 * sum(TILES.values())


def test_without_rasterio(whu, second_release, tmp_path, monkeypatch):
    load = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.endswith('io.rasters'):
            raise ImportError("No module named 'rasterio'")
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', refuse)
    with pytest.raises(ImportError, match=r"needs rasterio: pip install 'mamba_cd_plugin\[geo\]'"):
        convert(whu, second_release, tmp_path / 'out')


def test_grey_raster_is_refused(whu, second_release, save, tmp_path):
    grey = np.zeros((HEIGHT, TEST), np.uint8)
    save(second_release / AREAS / '2016/whole_image/test/image/2016_test.tif', grey)
    problems = convert(whu, second_release, tmp_path / 'out')['test'].problems
    assert '2016_test.tif: one channel, expected red, green and blue' in problems[0]
