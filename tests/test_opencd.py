"""Our parts inside Open-CD: the same model, trained by its own components. Skipped where it is not importable."""
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS

from mamba_cd_plugin.synthetic import write_dataset

try:
    import opencd.models  # noqa: F401
    from opencd.registry import DATASETS as OPENCD_DATASETS
    from opencd.registry import MODELS as OPENCD_MODELS
except (ImportError, AssertionError, RuntimeError) as error:  # missing; refused versions; torchvision of another torch
    pytest.skip(f'Open-CD is not importable: {error}', allow_module_level=True)

OURS, THEIRS = 'cdmamba_v8_levircd.py', 'opencd/cdmamba_v8_levircd.py'


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six scenes of 64 px per split, as the data root of every config that is read from here on."""
    write_dataset(tmp_path / 'scenes', 6, 6, 6, size=64, seed=3)
    monkeypatch.setenv('MAMBA_CD_DATA', str(tmp_path / 'scenes'))
    return tmp_path / 'scenes'


def sample_as_batch(dataset: torch.utils.data.Dataset) -> dict:
    """The first sample, as a loader of batch size 1 gives it."""
    sample = dataset[0]
    return dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])


def test_same_weights_and_files_give_the_same_logits(scenes: Path, toy_config: Callable[[str], Config]) -> None:
    """From the PNG files through each framework's own loading, preprocessor and segmentor."""
    ours_cfg, theirs_cfg = toy_config(OURS), toy_config(THEIRS)
    ours = MODELS.build(ours_cfg.model).eval()
    our_batch = sample_as_batch(DATASETS.build(dict(ours_cfg.test_dataloader.dataset, data_root=str(scenes))))
    with DefaultScope.overwrite_default_scope('opencd'):
        theirs = OPENCD_MODELS.build(theirs_cfg.model).eval()
        their_batch = sample_as_batch(OPENCD_DATASETS.build(theirs_cfg.test_dataloader.dataset))
        theirs.load_state_dict(ours.state_dict(), strict=True)
        with torch.inference_mode():
            their_input = theirs.data_preprocessor(their_batch)
            their_logits = theirs(**their_input, mode='tensor')
            their_sample, = theirs.test_step(their_batch)
    with torch.inference_mode():
        our_input = ours.data_preprocessor(our_batch)
        our_logits = ours(**our_input, mode='tensor')
        our_sample, = ours.test_step(our_batch)
    assert type(theirs).__module__.startswith('opencd.')
    torch.testing.assert_close(their_input['inputs'], our_input['inputs'])
    assert our_logits.std() > 0
    torch.testing.assert_close(their_logits, our_logits)
    torch.testing.assert_close(their_sample.seg_logits.data, our_sample.seg_logits.data)
    assert torch.equal(their_sample.pred_sem_seg.data, our_sample.pred_sem_seg.data)
    assert torch.equal(their_sample.gt_sem_seg.data, our_sample.gt_sem_seg.data)


def test_its_runner_trains_validates_and_tests(scenes: Path, tmp_path: Path,
                                               toy_config: Callable[[str], Config]) -> None:
    cfg = toy_config(THEIRS)
    cfg.merge_from_dict({
        'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2, 'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.pipeline.2.crop_size': (32, 32), 'default_hooks.checkpoint.interval': 2,
        'work_dir': str(tmp_path / 'run')})
    cfg.experiment_name = cfg.visualizer.name = f'{tmp_path.name}_opencd'
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].update(num_workers=0, persistent_workers=False)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2 and (tmp_path / 'run/iter_2.pth').is_file()
    assert list((tmp_path / 'run').glob('best_mIoU*.pth'))
    metrics = runner.test()
    assert 0 <= metrics['mIoU'] <= 100
