"""The worked example of docs/extending.md, as it stands there."""
import re
import shutil
import sys
from pathlib import Path
from typing import Dict

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mamba_cd_plugin.models.structures import LevelFeatures

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
    yield root
    sys.path.remove(str(root))
    for name in ('DifferenceSkip', 'SobelEdge'):
        MODELS.module_dict.pop(name, None)
    for name in [name for name in sys.modules if name.split('.')[0] == 'my_change']:
        del sys.modules[name]


@pytest.fixture
def model(project: Path) -> nn.Module:
    """The page's V9 at toy size."""
    cfg = Config.fromfile(project / 'configs/cdmamba_v9_levircd.py')  # imports my_change
    channels = [16, 32, 64, 128]
    cfg.merge_from_dict({'model.backbone.arch': 'toy', 'model.neck.in_channels': channels,
                         'model.decode_head.in_channels': channels})
    return MODELS.build(cfg.model).train()


def test_the_page_lists_its_files() -> None:
    listed = re.findall(r'^    ([\w/]+\.py)$', PAGE, re.M)
    assert sorted(listed) == sorted(FILES) and len(FILES) == 5


def test_v9_has_the_new_parts_and_trains(model: nn.Module) -> None:
    levels = model.decode_head.levels
    assert {type(level.skip).__name__ for level in levels} == {'DifferenceSkip'}
    assert {type(level.edge).__name__ for level in levels} == {'SobelEdge'}
    label = torch.zeros(1, 64, 64, dtype=torch.long)
    label[:, 16:32, 16:32] = 1
    samples: Dict = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in range(2)]
    losses = model.loss(torch.randn(2, 6, 64, 64), samples)
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
