"""One real cycle through mmengine's runner on generated scenes: train, validate, resume, test."""
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mamba_cd_plugin.synthetic import write_dataset


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes of 64 px per split; of so few some hold a change."""
    root = tmp_path_factory.mktemp('data') / 'scenes'
    write_dataset(root, 6, 6, 6, size=64, seed=3)
    return root


@pytest.fixture
def config(scenes: Path, tmp_path: Path, toy_config: Callable[[str], Config],
           monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """The demo's config at toy size, for so many epochs."""
    monkeypatch.setenv('MAMBA_CD_DATA', str(scenes))

    def make(max_epochs: int, work_dir: str = 'run') -> Config:
        cfg = toy_config('cdmamba_v8_small_synthetic.py')
        cfg.merge_from_dict({
            'train_cfg.max_epochs': max_epochs,
            'train_cfg.val_interval': 1,
            'train_dataloader.batch_size': 3,
            'default_hooks.logger.interval': 1,
        })
        # mmengine keeps one visualizer of a name per process, and it writes where the first one did.
        cfg.experiment_name = cfg.visualizer.name = f'{tmp_path.name}_{work_dir}_{max_epochs}'
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            cfg[loader].update(num_workers=0, persistent_workers=False)
        cfg.work_dir = str(tmp_path / work_dir)
        return cfg

    return make


def losses(work_dir: Path) -> list:
    """Every training loss that the run wrote down."""
    lines = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
             for line in path.read_text().splitlines()]
    return [line['loss'] for line in lines if 'loss' in line]


def test_train_validate_resume_test(config: Callable[..., Config]) -> None:
    cfg = config(max_epochs=1)
    Runner.from_cfg(cfg).train()
    work_dir = Path(cfg.work_dir)
    best = work_dir / 'best_changed_F1.pth'
    assert best.is_file() and (work_dir / 'curves.png').is_file()
    before = torch.load(work_dir / 'epoch_1.pth', weights_only=False)['state_dict']

    cfg = config(max_epochs=2)
    cfg.resume = True
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 2 and len(losses(work_dir)) == 4  # two steps an epoch, none of them twice
    after = torch.load(work_dir / 'epoch_2.pth', weights_only=False)['state_dict']
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)

    cfg = config(max_epochs=2, work_dir='test')
    cfg.load_from = str(best)
    cfg.test_evaluator.output_dir = str(work_dir / 'masks')
    cfg.default_hooks.visualization.update(draw=True, show_dir=str(work_dir / 'pictures'))
    metrics = Runner.from_cfg(cfg).test()
    assert {'whole/changed_F1', 'whole/OA'} <= metrics.keys()
    assert len(list((work_dir / 'masks').glob('*.png'))) == len(list((work_dir / 'pictures').glob('*.png'))) == 6


def test_the_same_seed_gives_the_same_losses(config: Callable[..., Config]) -> None:
    runs = []
    for name in ('first', 'second'):
        cfg = config(max_epochs=1, work_dir=name)
        Runner.from_cfg(cfg).train()
        runs.append(losses(Path(cfg.work_dir)))
    assert len(runs[0]) == 2 and runs[0] == runs[1]


def test_tta_keeps_the_scale_of_probabilities(config: Callable[..., Config]) -> None:
    cfg = config(max_epochs=1, work_dir='tta')
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    runner = Runner.from_cfg(cfg)
    # An untrained head that says 'certainly unchanged': with a second sigmoid every pixel would be called changed.
    torch.nn.init.constant_(runner.model.module.decode_head.conv_seg.bias, -20.)
    metrics = runner.test()
    assert metrics['whole/changed_recall'] == 0
    assert metrics['whole/OA'] > 0.5
