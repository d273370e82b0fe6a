import shutil

import numpy as np
import pytest
from mmseg.registry import DATASETS

from mamba_cd_plugin.datasets import PairCDDataset


def stems(dataset):
    return [dataset.get_data_info(i)['img_path'].split('/')[-1] for i in range(len(dataset))]


def test_lists_every_pair_of_the_split(levir):
    root = levir(splits=('train', 'val'))
    dataset = DATASETS.build(dict(type='PairCDDataset', split='val', data_root=str(root)))
    assert len(dataset) == 3
    info = dataset.get_data_info(1)
    assert info['img_path'] == str(root / 'val/A/1.png')
    assert info['img_path2'] == str(root / 'val/B/1.png')
    assert info['seg_map_path'] == str(root / 'val/label/1.png')
    assert dataset.metainfo['classes'] == ('unchanged', 'changed')
    assert dataset.metainfo['palette'] == [[0, 0, 0], [255, 255, 255]]


def test_each_folder_has_its_own_suffixes(levir, save):
    root = levir(splits=('train', ), suffix='.jpg')
    (root / 'train/B/0.jpg').unlink()
    save(root / 'train/B/0.TIF', np.zeros((64, 64, 3), np.uint8))
    (root / 'train/B/1.jpg').rename(root / 'train/B/1.jpeg')
    (root / 'train/A/notes.txt').write_text('not an image')
    dataset = PairCDDataset(data_root=str(root))
    found = [{key: dataset.get_data_info(i)[key].rsplit('.')[-1] for key in dataset.data_prefix} for i in range(3)]
    assert found == [
        dict(img_path='jpg', img_path2='TIF', seg_map_path='png'),
        dict(img_path='jpg', img_path2='jpeg', seg_map_path='png'),
        dict(img_path='jpg', img_path2='jpg', seg_map_path='png'),
    ]


def test_names_may_hold_dots_and_folders(levir):
    root = levir(splits=('train', ), count=1)
    for folder in ('A', 'B', 'label'):
        shutil.copytree(root / 'train' / folder, root / 'train' / folder / 'city')
        (root / 'train' / folder / '0.png').rename(root / 'train' / folder / 'tile_0.5m.png')
    (root / 'list.txt').write_text('tile_0.5m\ncity/0\n')
    assert len(PairCDDataset(data_root=str(root))) == 2
    dataset = PairCDDataset(data_root=str(root), ann_file='list.txt')
    assert dataset.get_data_info(0)['img_path2'] == str(root / 'train/B/tile_0.5m.png')
    assert dataset.get_data_info(1)['seg_map_path'] == str(root / 'train/label/city/0.png')


def test_ann_file_chooses_and_orders(levir):
    root = levir(splits=('train', ), count=4)
    (root / 'list.txt').write_text('2.png\r\n0\n\n')
    assert stems(PairCDDataset(data_root=str(root), ann_file='list.txt')) == ['2.png', '0.png']


def test_lists_beside_one_set_of_folders(levir):
    root = levir(splits=('', ))
    (root / 'list').mkdir()
    (root / 'list/val.txt').write_text('1.png\n')
    assert stems(PairCDDataset(data_root=str(root), split='', ann_file='list/val.txt')) == ['1.png']


def test_other_folder_names_and_no_labels(levir):
    root = levir(splits=('train', ))
    (root / 'train/A').rename(root / 'train/t1')
    shutil.rmtree(root / 'train/label')
    dataset = PairCDDataset(data_root=str(root), data_prefix=dict(img_path='t1', seg_map_path=None))
    assert dataset.get_data_info(0)['img_path'] == str(root / 'train/t1/0.png')
    assert 'seg_map_path' not in dataset.get_data_info(0)


def test_root_from_the_environment(levir, monkeypatch):
    root = levir(splits=('train', ))
    monkeypatch.setenv('MAMBA_CD_DATA', str(root))
    assert len(PairCDDataset()) == 3
    with pytest.raises(FileNotFoundError, match='nowhere'):  # an explicit root comes first
        PairCDDataset(data_root='nowhere')


def test_no_root():
    with pytest.raises(FileNotFoundError, match='no data_root is set. .*MAMBA_CD_DATA=PATH.*--cfg-options data_root='):
        PairCDDataset()


def test_lazy_init_needs_no_data():
    assert PairCDDataset(lazy_init=True).metainfo['classes'] == ('unchanged', 'changed')


def test_root_that_does_not_exist():
    with pytest.raises(FileNotFoundError, match="data_root 'no/such' is not a folder .seen from .*MAMBA_CD_DATA=PATH"):
        PairCDDataset(data_root='no/such')


def test_split_that_does_not_exist(levir):
    root = levir(splits=('train', 'val'))
    with pytest.raises(FileNotFoundError, match="test/A is not a folder; .* holds: train, val. .*`split` .now 'test'"):
        PairCDDataset(data_root=str(root), split='test')


def test_empty_split(levir):
    root = levir(splits=('train', ))
    for image in (root / 'train/B').iterdir():
        image.unlink()
    with pytest.raises(ValueError, match='train/B holds no image; expected files .*.png, .*found: nothing'):
        PairCDDataset(data_root=str(root))
    (root / 'train/B/0.bmp').touch()
    with pytest.raises(ValueError, match='found: 0.bmp'):
        PairCDDataset(data_root=str(root))


@pytest.mark.parametrize('folder', ['A', 'B', 'label'])
def test_missing_counterpart(levir, folder):
    root = levir(splits=('train', ))
    (root / 'train' / folder / '1.png').unlink()
    with pytest.raises(ValueError, match=f'train/{folder} .2 images. lacks 1. Expected each of the 3 names.*add'):
        PairCDDataset(data_root=str(root))


def test_extra_label(levir, save):
    root = levir(splits=('train', ))
    save(root / 'train/label/9.png', np.zeros((64, 64), np.uint8))
    with pytest.raises(ValueError, match='train/A .3 images. lacks 9; .*train/B .3 images. lacks 9.'):
        PairCDDataset(data_root=str(root))


def test_many_missing_counterparts_are_counted(levir):
    root = levir(splits=('train', ), count=9)
    for i in range(8):
        (root / f'train/B/{i}.png').unlink()
    with pytest.raises(ValueError, match='train/B .1 images. lacks 0, 1, 2, 3, 4 and 3 more'):
        PairCDDataset(data_root=str(root))


def test_one_name_with_two_suffixes(levir, save):
    root = levir(splits=('train', ))
    save(root / 'train/A/1.jpg', np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match='train/A holds 1.jpg and 1.png: .*Expected one file per name'):
        PairCDDataset(data_root=str(root))


def test_bad_lists(levir):
    root = levir(splits=('train', ))
    with pytest.raises(FileNotFoundError, match='ann_file .*none.txt is not a file; expected a list'):
        PairCDDataset(data_root=str(root), ann_file='none.txt')
    (root / 'list.txt').write_text('\n')
    with pytest.raises(ValueError, match='list.txt names no image'):
        PairCDDataset(data_root=str(root), ann_file='list.txt')
    (root / 'list.txt').write_text('0\n0.png\n')
    with pytest.raises(ValueError, match='list.txt names 0 more than once'):
        PairCDDataset(data_root=str(root), ann_file='list.txt')
    (root / 'list.txt').write_text('7\n')
    with pytest.raises(ValueError, match='train/A .3 images. lacks 7'):
        PairCDDataset(data_root=str(root), ann_file='list.txt')


def test_labels_without_any_change(levir, save):
    root = levir(splits=('train', ))
    for label in (root / 'train/label').iterdir():
        save(label, np.zeros((64, 64), np.uint8))
    with pytest.raises(ValueError, match='none of the 3 labels in .*train/label holds a changed pixel.*check_labels'):
        PairCDDataset(data_root=str(root))
    assert len(PairCDDataset(data_root=str(root), check_labels=False)) == 3
    label = np.zeros((64, 64), np.uint8)
    label[63, 63] = 1
    save(root / 'train/label/2.png', label)
    assert len(PairCDDataset(data_root=str(root))) == 3
    with pytest.raises(ValueError, match='none of the 2 labels'):  # the check is on the pairs that are used
        PairCDDataset(data_root=str(root), indices=2)


def test_ignored_pixels_are_no_change(levir):
    root = levir(splits=('train', ))
    assert len(PairCDDataset(data_root=str(root))) == 3
    with pytest.raises(ValueError, match='none of the 3 labels'):
        PairCDDataset(data_root=str(root), ignore_value=255)
