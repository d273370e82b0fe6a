"""One key has to reach all three loaders, in each of the ways in which it can be set, under mmengine's own Runner."""
from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mamba_cd_plugin.datasets import with_data_root

BASES = sorted((Path(__file__).parents[2] / 'configs/_base_/datasets').glob('*.py'))
LEAF = """
_base_ = '{base}'
default_scope = 'mmseg'
work_dir = '{folder}'
experiment_name = '{folder.name}'  # two runs of one second would share mmengine's default
{line}
model = dict(type='NoModelOfTheDataRootTest')
val_evaluator = dict(_delete_=True, type='IoUMetric')
test_evaluator = dict(_delete_=True, type='IoUMetric')
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(type='CDTrainLoop', max_epochs=1)
val_cfg = dict(type='CDValLoop')
test_cfg = dict(type='CDTestLoop')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""


@MODELS.register_module()
class NoModelOfTheDataRootTest(BaseModel):

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise NotImplementedError


def roots_of(cfg):
    runner = Runner.from_cfg(cfg)
    return [loop.dataloader.dataset.data_root for loop in (runner.train_loop, runner.val_loop, runner.test_loop)]


@pytest.fixture
def leaf(tmp_path_factory):

    def write(base, line=''):
        folder = tmp_path_factory.mktemp('leaf')
        path = folder / 'leaf.py'
        path.write_text(LEAF.format(base=base, folder=folder, line=line))
        return path

    return write


def test_there_are_base_configs():
    assert {'levircd_256', 'levircd_crop256', 'synthetic'} <= {path.stem for path in BASES}


@pytest.mark.parametrize('way', ['environment', 'option', 'leaf', 'all'])
def test_each_way_reaches_all_loaders(way, levir, leaf, monkeypatch, base=BASES[0]):
    root = str(levir())
    if way in ('environment', 'all'):
        monkeypatch.setenv('MAMBA_CD_DATA', root if way == 'environment' else '/from/environment')
    line = {'leaf': f"data_root = '{root}'", 'all': "data_root = '/from/leaf'"}.get(way, '')
    cfg = Config.fromfile(leaf(base, line))
    if way in ('option', 'all'):
        cfg.merge_from_dict(dict(data_root=root))
    assert roots_of(cfg) == [root] * 3
    assert cfg.train_dataloader.dataset.get('data_root') is None  # so that a dumped config keeps the one key


@pytest.mark.parametrize('base', BASES, ids=lambda path: path.stem)
def test_each_base_has_the_one_key(base, monkeypatch):
    assert Config.fromfile(base).data_root.startswith('data/')
    monkeypatch.setenv('MAMBA_CD_DATA', '/from/environment')
    cfg = Config.fromfile(base)
    assert cfg.data_root == '/from/environment'
    assert all('data_root' not in cfg[f'{split}_dataloader'].dataset for split in ('train', 'val', 'test'))


def test_leaf_comes_before_the_environment(levir, leaf, monkeypatch):
    root = str(levir())
    monkeypatch.setenv('MAMBA_CD_DATA', '/from/environment')
    assert roots_of(Config.fromfile(leaf(BASES[0], f"data_root = '{root}'"))) == [root] * 3


def test_dumped_config_can_be_moved(levir, leaf, tmp_path):
    root = str(levir())
    cfg = Config.fromfile(leaf(BASES[0], "data_root = '/where/it/was/trained'"))
    cfg.dump(tmp_path / 'dumped.py')
    moved = Config.fromfile(tmp_path / 'dumped.py')
    moved.merge_from_dict(dict(data_root=root))
    assert roots_of(moved) == [root] * 3


def test_without_any_the_error_says_what_to_do(leaf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # `make demo` leaves data/synthetic in the checkout
    cfg = Config.fromfile(leaf(BASES[0].with_name('synthetic.py')))
    with pytest.raises(FileNotFoundError, match="data_root 'data/synthetic' is not a folder.*MAMBA_CD_DATA=PATH"):
        roots_of(cfg)


def test_stock_loops_fail_loudly(levir, leaf):
    cfg = Config.fromfile(leaf(BASES[0], f"data_root = '{levir()}'"))
    cfg.train_cfg.type = 'EpochBasedTrainLoop'
    with pytest.raises(FileNotFoundError, match='no data_root is set.*CDTrainLoop'):
        roots_of(cfg)


def test_wrapped_and_own_roots():
    dataset = dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[
        dict(type='PairCDDataset'), dict(type='PairCDDataset', data_root='/own')]))
    loader = dict(batch_size=1, dataset=dataset)
    inner = with_data_root(loader, '/x')['dataset']['dataset']['datasets']
    assert [each['data_root'] for each in inner] == ['/x', '/own']
    assert 'data_root' not in dataset['dataset']['datasets'][0]  # the config itself stays as it is
    assert with_data_root(loader, None) is loader
    assert with_data_root(None, '/x') is None


def test_fewer_pairs_than_one_batch(levir, leaf):
    cfg = Config.fromfile(leaf(BASES[0], f"data_root = '{levir()}'"))
    cfg.train_dataloader.batch_size = 4
    with pytest.raises(ValueError, match='training split has 3 pairs, fewer than one batch of 4.*batch_size'):
        roots_of(cfg)
