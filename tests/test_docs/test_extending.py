"""The worked example of docs/extending.md, as it stands there."""
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mamba_cd_plugin.datasets import with_data_root
from mamba_cd_plugin.inference.models import TileModel
from mamba_cd_plugin.inference.outputs import FORMATS
from mamba_cd_plugin.models.structures import LevelFeatures
from mamba_cd_plugin.ops import selective_scan, selective_scan_ref
from mamba_cd_plugin.ops.backends import BACKENDS
from mamba_cd_plugin.preparation.convert import CATALOG

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs/extending.md').read_text('utf-8')
FILES = dict(re.findall(r'^`([\w/]+\.py)`\n\n```python\n(.*?)^```$', PAGE, re.M | re.S))


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our configs and the page's files, which is on the path."""
    root = tmp_path_factory.mktemp('project')
    shutil.copytree(ROOT / 'configs', root / 'configs')
    for name, text in FILES.items():
        path = root / name
        assert not path.exists(), f'{name} is taken by now: the page needs another name'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, 'utf-8')
    sys.path.insert(0, str(root))
    shipped = list(FORMATS)
    yield root
    sys.path.remove(str(root))
    FORMATS[:] = shipped
    CATALOG.pop('my_city', None)
    BACKENDS.pop('frugal', None)
    for name in ('DifferenceSkip', 'SobelEdge', 'SoftFBetaLoss'):
        MODELS.module_dict.pop(name, None)
    for name in [name for name in sys.modules if name.split('.')[0] == 'my_change']:
        del sys.modules[name]


@pytest.fixture
def model(project: Path) -> nn.Module:
    """The page's V9 at toy size."""
    cfg = Config.fromfile(project / 'configs/cdmamba_v9_levircd.py')  # imports my_change
    channels = [16, 32, 64, 128]
    cfg.merge_from_dict({'model.backbone.arch': 'toy', 'model.neck.in_channels': channels,
                         'model.decode_head.in_channels': channels, 'model.backbone.scan_backend': 'frugal'})
    return MODELS.build(cfg.model).train()


@pytest.fixture
def command(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs ``python -m my_change`` and gives its exit status."""

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, 'argv', ['my_change', *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module('my_change', run_name='__main__')
        return ended.value.code

    return run


def test_the_page_lists_its_files() -> None:
    listed = re.findall(r'^    ([\w/]+\.py)$', PAGE, re.M)
    assert sorted(listed) == sorted(FILES) and len(FILES) == 11
    assert set(re.findall(r'^\|.*`(my_change/\w+\.py)`', PAGE, re.M)) < set(FILES)


def test_pairs_in_other_folders_are_read(project: Path, tiny_pairs: Path, tmp_path: Path) -> None:
    for split in ('train', 'val', 'test'):
        for ours, theirs in (('A', '2018'), ('B', '2024'), ('label', 'changes')):
            shutil.copytree(tiny_pairs / split / ours, tmp_path / split / theirs)
    with Image.open(tmp_path / 'train/changes/0.png') as image:
        label = np.array(image) // 255
    label[0] = 2
    Image.fromarray(label).save(tmp_path / 'train/changes/0.png')
    cfg = Config.fromfile(project / 'configs/_base_/datasets/my_pairs.py')
    for loader, number in ((cfg.train_dataloader, 4), (cfg.val_dataloader, 2), (cfg.test_dataloader, 2)):
        pairs = DATASETS.build(with_data_root(loader, str(tmp_path)).dataset)
        assert len(pairs) == number
    first = DATASETS.build(with_data_root(dict(dataset=dict(cfg.train_dataloader.dataset, pipeline=cfg.test_pipeline)),
                                          str(tmp_path))['dataset'])[0]
    assert first['data_samples'].gt_sem_seg.data[0].unique().tolist() == [0, 1, 255]


def test_v9_has_the_new_parts_and_trains(model: nn.Module) -> None:
    levels = model.decode_head.levels
    assert {type(level.skip).__name__ for level in levels} == {'DifferenceSkip'}
    assert {type(level.edge).__name__ for level in levels} == {'SobelEdge'}
    label = torch.zeros(1, 64, 64, dtype=torch.long)
    label[:, 16:32, 16:32] = 1
    samples: dict = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in range(2)]
    losses = model.loss(torch.randn(2, 6, 64, 64), samples)
    assert {'decode.loss_focal', 'decode.loss_lovasz', 'decode.loss_f_beta'} <= set(losses)
    sum(losses.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_deepest_level_has_nothing_above(model: nn.Module) -> None:
    skip = model.decode_head.levels[-1].skip
    d = torch.randn(2, 128, 2, 2)
    assert skip.fuse(LevelFeatures(a=None, b=None, d=d), None).shape == d.shape


def test_sobel_measures_a_slope(model: nn.Module) -> None:
    """A plane that rises by 3 a row and 4 a column has the slope 5, away from the border."""
    edge = model.decode_head.levels[0].edge
    rows, columns = torch.meshgrid(torch.arange(6.), torch.arange(7.), indexing='ij')
    slope = edge.slope((3 * rows + 4 * columns).expand(1, 16, 6, 7))
    torch.testing.assert_close(slope[:, :, 1:-1, 1:-1], torch.full((1, 16, 4, 5), 5.))


def test_the_loss_weighs_what_is_missed(model: nn.Module) -> None:
    """Probability 0.5 on two changed, one unchanged and one ignored pixel: found 1, missed 1, false 0.5.

    With beta = 2 the score is (5 + 1) / (5 + 4 + 0.5 + 1) = 4/7.
    """
    loss = MODELS.build(dict(type='SoftFBetaLoss', beta=2.))
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    value = loss(logits, torch.tensor([[[1, 1], [0, 255]]]))
    torch.testing.assert_close(value, torch.tensor(3 / 7))
    value.backward()
    assert (logits.grad.flatten().sign() == torch.tensor([-1, -1, 1, 0])).all()


def test_the_backend_is_the_scan(model: nn.Module) -> None:
    inputs = [torch.randn(1, 4, 6), torch.randn(1, 4, 6), -torch.rand(4, 2), torch.randn(1, 2, 2, 6),
              torch.randn(1, 2, 2, 6)]
    gradients = []
    for scan in (lambda *args: selective_scan(*args, backend='frugal'), selective_scan_ref):
        leaves = [each.clone().requires_grad_() for each in inputs]
        y = scan(*leaves)
        gradients.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    torch.testing.assert_close(*gradients)


def test_prepare_converts_the_data_set(command: Callable[..., int], tmp_path: Path) -> None:
    for split, names in (('train', '12'), ('test', '3')):
        for folder in ('2018', '2024', 'changes'):
            (tmp_path / 'source' / split / folder).mkdir(parents=True)
            for name in names:
                image = np.full((512, 512), 0 if folder == 'changes' else 90, np.uint8)
                image[:, :256] = 255 if folder == 'changes' else 91
                Image.fromarray(image).save(tmp_path / 'source' / split / folder / f'{name}.png')
    assert command('prepare', 'my_city', tmp_path / 'source', tmp_path / 'out', '--val-share', 0) == 0
    assert {split: len(list((tmp_path / 'out' / split / 'label').glob('*.png'))) for split in ('train', 'test')} == {
        'train': 8, 'test': 4}


class Bright(TileModel):
    """Says that what is brighter than 100 in B has changed."""
    threshold, fill, identity = 0.5, np.zeros(3, np.uint8), 'bright'

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """0 or 1."""
        return (pairs[..., 3] > 100).astype(np.float32)


def test_predict_writes_the_format(command: Callable[..., int], tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr('mamba_cd_plugin.inference.inferencer.load_model', lambda *args: Bright())
    image = np.zeros((64, 64, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / 'a.png')
    image[5, 7:9] = 200
    Image.fromarray(image).save(tmp_path / 'b.png')
    assert command('predict', '--help') == 0
    assert 'csv: changed pixels as text' in ' '.join(capsys.readouterr().out.split())
    assert command('predict', tmp_path / 'a.png', tmp_path / 'b.png', '--checkpoint', 'any.pth',
                   '--out', tmp_path / 'out', '--polygons', 'csv') == 0
    assert (tmp_path / 'out/a_points.csv').read_text() == 'row,column\n5,7\n5,8\n'
