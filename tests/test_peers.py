"""Models of Open-CD in our runner; without it, one clear line."""
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mamba_cd_plugin.analysis.ablation.plan import make_plan
from mamba_cd_plugin.inference.inferencer import ChangeDetectionInferencer
from mamba_cd_plugin.models.peers import OpenCDUnavailable, import_open_cd

CONFIGS = Path(__file__).parents[1] / 'configs'
PEERS = sorted((CONFIGS / 'peers').glob('*.py'))


@pytest.fixture
def importable() -> None:
    try:
        import_open_cd()
    except OpenCDUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def not_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'opencd.models', None)


def test_the_eleven_families_are_there() -> None:
    assert len(PEERS) == 11


@pytest.mark.usefixtures('not_importable')
def test_without_open_cd_a_model_says_so_in_one_line() -> None:
    cfg = Config.fromfile(PEERS[0])
    with pytest.raises(OpenCDUnavailable, match='which is not importable here: .*docs/opencd.md') as told:
        MODELS.build(cfg.model)
    assert '\n' not in str(told.value)


@pytest.mark.usefixtures('not_importable')
def test_an_ablation_leaves_out_what_needs_open_cd(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    ours = CONFIGS / 'cdmamba_v8_small_levircd.py'
    plan = make_plan([str(PEERS[0]), str(ours), str(PEERS[1])], [0, 1], tmp_path)
    assert [trial.title for trial in plan] == ['cdmamba_v8_small_levircd, seed 0', 'cdmamba_v8_small_levircd, seed 1']
    said = ''.join(capfd.readouterr())
    assert said.count('left out: this config needs Open-CD') == 2  # once for each config, not for each seed
    assert f'{PEERS[0].stem} is left out' in said


@pytest.mark.usefixtures('not_importable')
def test_an_ablation_of_nothing_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OpenCDUnavailable, match='needs Open-CD'):
        make_plan([str(PEERS[0])], [0], tmp_path)


@pytest.mark.usefixtures('importable')
@pytest.mark.parametrize('path', PEERS, ids=lambda path: path.stem)
def test_a_peer_trains_validates_tests_and_predicts(path: Path, narrow_config: Callable[[str], Config]) -> None:
    cfg = narrow_config(f'peers/{path.name}')
    runner = Runner.from_cfg(cfg)
    runner.train()
    best = Path(cfg.work_dir) / 'best_changed_F1.pth'
    assert runner.iter == 2 and best.is_file()
    assert type(runner.model).__module__.startswith('opencd.')
    label = (torch.arange(32 * 32) % 7 == 0).long().view(1, 32, 32)
    losses = runner.model(torch.randn(2, 6, 32, 32), [SegDataSample(gt_sem_seg=PixelData(data=label))] * 2, mode='loss')
    runner.model.parse_losses(losses)[0].backward()
    without = [name for name, parameter in runner.model.named_parameters() if parameter.grad is None]
    assert bool(without) == cfg.get('find_unused_parameters', False), without
    assert {'whole/changed_F1', 'whole/changed_IoU'} <= {*runner.test()}
    pair = tuple(np.full((32, 32, 3), grey, np.uint8) for grey in (50, 200))
    inferencer = ChangeDetectionInferencer(cfg, best, device='cpu', show_progress=False)
    prediction = inferencer(pair)['predictions'][0]
    assert prediction['mask'].shape == (32, 32)
    assert np.array_equal(prediction['mask'], prediction['probability'] > inferencer.model.threshold)
