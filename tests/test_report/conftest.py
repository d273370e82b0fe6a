"""Two untrained toy runs with all that a training leaves in a work dir, on generated pairs of 64 px."""
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from PIL import Image

NUM_PAIRS = 5
SIDE, TILE = 64, 32


@pytest.fixture(autouse=True)
def _no_data_root_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MAMBA_CD_DATA', raising=False)


@pytest.fixture(scope='session')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of noise; in the label of each but the last lies a rectangle that no tile holds whole."""
    root, rng = tmp_path_factory.mktemp('report_data'), np.random.RandomState(0)
    for index in range(NUM_PAIRS):
        label = np.zeros((SIDE, SIDE), np.uint8)
        if index < NUM_PAIRS - 1:
            label[20:44, 10 + index:50] = 255
        pictures = {'A': rng.randint(0, 256, (SIDE, SIDE, 3), np.uint8),
                    'B': rng.randint(0, 256, (SIDE, SIDE, 3), np.uint8), 'label': label}
        for folder, picture in pictures.items():
            path = root / 'test' / folder / f'pair_{index}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return root


@pytest.fixture(scope='session')
def make_run(data_root: Path, toy_config: Callable[[str], Config]) -> Callable[..., Path]:
    """Write the work dir of an untrained model, whose probabilities lie around 0.5, and return it."""

    def make(config: str, work_dir: Path, seed: int = 0) -> Path:
        cfg = toy_config(config)
        cfg.data_root = str(data_root)
        cfg.test_cfg.tile = TILE
        cfg.test_dataloader.update(num_workers=0, persistent_workers=False, batch_size=2)
        cfg.merge_from_dict({'model.decode_head.init_cfg': dict(
            type='Normal', std=2., bias=0., override=dict(name='conv_seg'))})
        work_dir.mkdir(parents=True)
        cfg.dump(work_dir / f'{work_dir.name}.py')
        torch.manual_seed(seed)
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = MODELS.build(cfg.model)
        model.init_weights()
        torch.save(dict(state_dict=model.state_dict(), meta={}), work_dir / 'best_changed_F1.pth')
        scalars = work_dir / '20260101_000000/vis_data/scalars.json'
        scalars.parent.mkdir(parents=True)
        lines = [dict(loss=2., iter=2, epoch=1, step=2), dict(changed_F1=0.25, step=1),
                 dict(loss=1., iter=4, epoch=2, step=4), dict(changed_F1=0.5, step=2)]
        scalars.write_text('\n'.join(map(json.dumps, lines)))
        return work_dir

    return make
