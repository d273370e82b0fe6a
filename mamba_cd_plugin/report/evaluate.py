"""Running the checkpoint of a run over a test set, once."""
import json
import shutil
import sys
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import ProgressBar
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import nn

from ..datasets import with_data_root
from ..engine.loops.protocol_test_loop import choose_protocols, test_mode
from ..inference.models import build_model, file_hash, load_weights, read_checkpoint
from .levels import to_levels
from .run import Run
from .store import Record, Store, file_state, fingerprint

WHOLE, TILES = 'whole', 'tiles'


def load_run_model(run: Run, device: str) -> nn.Module:
    """The model of a run with its weights, ready to predict.

    Raises:
        ValueError: If the checkpoint is refused, or its weights are not those of the model.
    """
    init_default_scope(run.cfg.get('default_scope', 'mmseg'))
    model = build_model(run.cfg.model, str(run.checkpoint))
    load_weights(model, read_checkpoint(str(run.checkpoint)), str(run.checkpoint))
    return model.to(device).eval()


def evaluate(run: Run, split: str, device: str, tile: Optional[int], fresh: bool = False) -> Store:
    """Predict every image whole and, where its sides allow it, as tiles; only what is not stored yet.

    The results lie in ``report/<split>-<fingerprint>/`` of the work dir. The fingerprint changes with the weights, the
    model, the data and the tile, so that nothing stale is ever shown.

    Args:
        run: The run.
        split: 'test' or 'val': whose data loader of the config.
        device: Where the model runs.
        tile: Side of a tile in pixels; None for whole images only.
        fresh: Forget what is stored.

    Raises:
        KeyError: If the config has no such data loader.
        FileNotFoundError: If the data are not there.
        ValueError: If the data have no labels.
    """
    init_default_scope(run.cfg.get('default_scope', 'mmseg'))
    loader_cfg = run.cfg.get(f'{split}_dataloader')
    if not loader_cfg:
        raise KeyError(f'{run.work_dir}: its config has no {split}_dataloader; choose the other --split')
    loader_cfg = with_data_root(loader_cfg, run.cfg.get('data_root'))
    dataset = DATASETS.build(loader_cfg['dataset'])
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    if not all('seg_map_path' in info for info in infos):
        raise ValueError(f'{run.work_dir}: the {split} split has no labels, so that nothing can be scored; choose '
                         'another --split, or set its labels (data_prefix.seg_map_path)')
    files = [file_state(info[key]) for info in infos for key in ('img_path', 'img_path2', 'seg_map_path')]
    job = dict(checkpoint=file_hash(run.checkpoint), model=str(run.cfg.model), data=str(loader_cfg['dataset']),
               files=files, tile=tile)
    folder = run.work_dir / 'report' / f'{split}-{fingerprint(**job)}'
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    store = Store(folder, len(dataset))
    missing = store.missing()
    if not missing:
        print_log(f'{run.name}: all {len(dataset)} images are evaluated already ({folder})', logger='current')
        return store
    print_log(f'{run.name}: {len(missing)} of {len(dataset)} images are to be evaluated', logger='current')
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'job.json').write_text(json.dumps({**job, 'files': len(files), 'of': str(run.checkpoint)}, indent=2))
    loader = Runner.build_dataloader(dict(
        dataset=dataset.get_subset(missing), batch_size=loader_cfg.get('batch_size', 1),
        num_workers=loader_cfg.get('num_workers', 0), sampler=dict(type='DefaultSampler', shuffle=False)))
    model = load_run_model(run, device)
    progress = ProgressBar(len(missing))
    waiting = iter(missing)
    for batch in loader:
        whole = predict(model, batch, None)
        truths = [sample.gt_sem_seg.data[0].cpu().numpy().astype(np.uint8) for sample in batch['data_samples']]
        has_tiles = choose_protocols({truth.shape for truth in truths}, tile)[1] is not None
        tiled = predict(model, batch, tile) if has_tiles else None
        for position, truth in enumerate(truths):
            index = next(waiting)
            levels = {WHOLE: whole[position]} if tiled is None else {WHOLE: whole[position], TILES: tiled[position]}
            info = infos[index]
            store.write(index, Record(_pair_name(info, dataset), info['img_path'], info['img_path2'], truth, levels))
            progress.update()
    sys.stdout.write('\n')  # mmengine's bar leaves its line open
    return store


@torch.inference_mode()
def predict(model: nn.Module, batch: dict, tile: Optional[int]) -> list[np.ndarray]:
    """Change probabilities of a batch as levels, each (H, W), as ``tools/test.py`` makes them.

    Args:
        model: An mmseg segmentor.
        batch: Of the test loader.
        tile: Side of the tiles that are predicted one by one; None for whole images.
    """
    with test_mode(model, tile):
        return [to_levels(_probability(sample)) for sample in model.test_step(batch)]


def _probability(sample: SegDataSample) -> np.ndarray:
    """mmseg leaves probabilities in ``seg_logits`` for one logit, and logits for two classes."""
    scores = sample.seg_logits.data.float()
    probability = scores[0] if scores.shape[0] == 1 else scores.softmax(dim=0)[1]
    return probability.cpu().numpy()


def _pair_name(info: dict, dataset: object) -> str:
    path, folder = Path(info['img_path']), getattr(dataset, 'data_prefix', {}).get('img_path') or ''
    return str((path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)).with_suffix(''))
