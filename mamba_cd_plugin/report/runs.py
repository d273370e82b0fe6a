"""The runs of a report: opened from their work dirs and evaluated once; the predictions are stored on disk."""
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import ProgressBar
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import nn
from torch.utils.data import DataLoader

from ..datasets import with_data_root
from ..datasets.data_root import DATA_ROOT_ENV
from ..engine.config_options import merge_options
from ..engine.machine import check_device
from ..engine.protocol_test_loop import choose_protocols, test_mode
from ..inference.checkpoints import build_model, file_hash, load_weights, read_checkpoint
from ..io.files import whole_file
from ..io.pictures import shorten
from .pixels import to_levels

BEST = 'best_changed_F1.pth'
WHOLE, TILES = 'whole', 'tiles'
# Increase it when the meaning of a stored file changes: older files are then recomputed.
FORMAT = 1


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        name: Name in the report.
        work_dir: Work dir of the training.
        cfg: Config from the work dir, with the user's overrides.
        checkpoint: Checkpoint to evaluate.
    """
    name: str
    work_dir: Path
    cfg: Config
    checkpoint: Path


def open_run(work_dir: str,
             name: str | None = None,
             checkpoint: str | None = None,
             cfg_options: dict[str, Any] | None = None) -> Run:
    """Find the config and the best checkpoint of a run.

    The data root is, in this order, that of ``cfg_options``, the environment variable ``MAMBA_CD_DATA``, and what the
    training used: the data may lie elsewhere by now.

    Args:
        work_dir: Work dir of the training.
        name: Name in the report; by default that of the folder.
        checkpoint: File name in the folder; by default the best one.
        cfg_options: Overrides of the config by dotted keys.

    Raises:
        FileNotFoundError: If there is no such folder, no config in it, or no checkpoint.
        ValueError: If it is unclear which config is that of the run.
        KeyError: If an override names a key that does not exist.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f'work dir {work_dir} is not a folder (seen from {os.getcwd()})')
    cfg = Config.fromfile(_find_config(folder))
    options = cfg_options or {}
    merge_options(cfg, options)
    if os.environ.get(DATA_ROOT_ENV) and 'data_root' not in options:
        cfg.merge_from_dict(dict(data_root=os.environ[DATA_ROOT_ENV]))
    return Run(name or folder.resolve().name, folder, cfg, _find_checkpoint(folder, checkpoint))


def open_runs(work_dirs: Sequence[str], names: Sequence[str] | None = None, **kwargs: Any) -> list[Run]:
    """Open several runs; see :func:`open_run`.

    Raises:
        ValueError: If there are more or fewer names than folders, or two runs have one name.
    """
    if names is not None and len(names) != len(work_dirs):
        raise ValueError(f'{len(names)} names for {len(work_dirs)} work dirs; expected one for each')
    runs = [open_run(folder, name, **kwargs) for folder, name in zip(work_dirs, names or [None] * len(work_dirs))]
    found = [run.name for run in runs]
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise ValueError(f'several runs are called {shorten(twice)}; tell them apart by --names')
    return runs


def _find_config(folder: Path) -> Path:
    """The config dumped by mmengine's runner; several, if several configs were trained in one work dir."""
    files = sorted(folder.glob('*.py'))
    named = folder / f'{folder.resolve().name}.py'
    if named in files or len(files) == 1:
        return named if named in files else files[0]
    if not files:
        raise FileNotFoundError(f'{folder} holds no config (*.py), which every training writes there; expected the '
                                'work dir of a run, as tools/train.py makes it')
    raise ValueError(f'{folder} holds several configs: {shorten([file.name for file in files])}. Expected one, or one '
                     f'called {named.name}: move the others away')


def _find_checkpoint(folder: Path, name: str | None) -> Path:
    if name is not None:
        if not (folder / name).is_file():
            raise FileNotFoundError(f'{folder / name} does not exist; {_checkpoints(folder)}')
        return folder / name
    if (folder / BEST).is_file():
        return folder / BEST
    best = sorted(folder.glob('best_*.pth'), key=lambda file: file.stat().st_mtime)
    if not best:
        raise FileNotFoundError(f'{folder} holds no best_*.pth; {_checkpoints(folder)}. Name another by --checkpoint')
    return best[-1]


def _checkpoints(folder: Path) -> str:
    files = sorted(file.name for file in folder.glob('*.pth'))
    return f'checkpoints there: {shorten(files) or "none"}'


def describe_parts(run: Run) -> str:
    """The parts of a model that distinguish the versions, in one line."""
    model = run.cfg.model
    head = model.get('decode_head', {})
    parts = {'': model.get('backbone', {}).get('arch'), 'skip': _type(head.get('skip')),
             'edge': _type(head.get('edge')), 'gate': (head.get('fusion') or {}).get('gate')}
    known = [f'{what} {value}'.strip() for what, value in parts.items() if value]
    return ', '.join([_type(model.get('backbone')), *known])


def _type(part: dict | None) -> str:
    return str((part or {}).get('type', '')).rpartition('.')[2]


class Record(NamedTuple):
    """The stored prediction of one image.

    Attributes:
        name: Name of the pair.
        image_a: Path of the earlier image.
        image_b: Path of the later image.
        truth: Ground truth, 0, 1 or 255 per pixel, (H, W) uint8.
        levels: Change probabilities as levels (H, W), by 'whole' and, if possible, 'tiles'.
    """
    name: str
    image_a: str
    image_b: str
    truth: np.ndarray
    levels: dict[str, np.ndarray]


class Store:
    """The stored predictions of one evaluation, one file per image.

    A file is complete or absent, so that an interrupted evaluation resumes with the missing images.

    Args:
        folder: Folder of the files.
        size: Number of images.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def missing(self) -> list[int]:
        """Indices of the images that are not stored yet."""
        return [index for index in range(self.size) if not self._path(index).is_file()]

    def write(self, index: int, record: Record) -> None:
        """Store one image atomically."""
        fields: dict[str, Any] = {f'levels_{way}': levels for way, levels in record.levels.items()}
        with whole_file(self._path(index)) as part:
            np.savez_compressed(part, name=record.name, image_a=record.image_a, image_b=record.image_b,
                                truth=record.truth, **fields)

    def read(self, index: int) -> Record:
        """Read one image."""
        with np.load(self._path(index)) as data:
            levels = {key[len('levels_'):]: data[key] for key in data.files if key.startswith('levels_')}
            return Record(str(data['name']), str(data['image_a']), str(data['image_b']), data['truth'], levels)

    def __iter__(self) -> Iterator[Record]:
        return (self.read(index) for index in range(self.size))

    def _path(self, index: int) -> Path:
        return self.folder / f'{index:06d}.npz'


def fingerprint(**parts: object) -> str:
    """A hash of 12 hexadecimal digits over the parts, as JSON or text."""
    text = json.dumps(dict(parts, format=FORMAT), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_state(path: str) -> list:
    """Path, size and modification time of a file; only the path if it is not local."""
    if not os.path.isfile(path):
        return [path]
    state = os.stat(path)
    return [path, state.st_size, state.st_mtime_ns]


def load_run_model(run: Run, device: str) -> nn.Module:
    """Load the model of a run for prediction.

    Raises:
        ValueError: If the device is not there, the checkpoint is refused, or its weights are not those of the model.
    """
    device = check_device(device)
    init_default_scope(run.cfg.get('default_scope', 'mmseg'))
    model = build_model(run.cfg.model, str(run.checkpoint))
    load_weights(model, read_checkpoint(str(run.checkpoint)), str(run.checkpoint))
    return model.to(device).eval()


def evaluate(run: Run, split: str, device: str, tile: int | None, fresh: bool = False) -> Store:
    """Predict every image that is not stored yet, whole and, if its size allows, as tiles.

    The predictions are stored in ``report/<split>-<fingerprint>/`` of the work dir. The fingerprint depends on weights,
    model, data and tile size, so that outdated predictions are never used.

    Args:
        run: The run.
        split: 'test' or 'val'.
        device: Device of the model.
        tile: Side of a tile in pixels; None for whole images only.
        fresh: Whether to discard stored predictions.

    Raises:
        KeyError: If the config has no such data loader.
        FileNotFoundError: If the data do not exist.
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
    print_log(f'{run.name}: {len(dataset) - len(missing)} of {len(dataset)} images are already evaluated ({folder})',
              logger='current')
    if missing:
        with whole_file(folder / 'job.json') as part:
            part.write_text(json.dumps({**job, 'files': len(files), 'of': str(run.checkpoint)}, indent=2))
        loader = Runner.build_dataloader(dict(
            dataset=dataset.get_subset(missing), batch_size=loader_cfg.get('batch_size', 1),
            num_workers=loader_cfg.get('num_workers', 0), sampler=dict(type='DefaultSampler', shuffle=False)))
        pairs = {index: (_pair_name(infos[index], dataset), infos[index]['img_path'], infos[index]['img_path2'])
                 for index in missing}
        _fill(store, pairs, loader, load_run_model(run, device), tile)
    return store


def _fill(store: Store, pairs: dict[int, tuple[str, str, str]], loader: DataLoader, model: nn.Module,
          tile: int | None) -> None:
    """Predict and store pairs, given by index with name and paths, in the order of the loader."""
    progress, waiting = ProgressBar(len(pairs)), iter(pairs)
    for batch in loader:
        truths = [sample.gt_sem_seg.data[0].cpu().numpy().astype(np.uint8) for sample in batch['data_samples']]
        ways = {WHOLE: predict_levels(model, batch, None)}
        if choose_protocols({truth.shape for truth in truths}, tile)[1] is not None:
            ways[TILES] = predict_levels(model, batch, tile)
        for position, truth in enumerate(truths):
            index = next(waiting)
            levels = {way: predicted[position] for way, predicted in ways.items()}
            store.write(index, Record(*pairs[index], truth, levels))
            progress.update()
    sys.stdout.write('\n')  # mmengine's bar leaves its line open


@torch.inference_mode()
def predict_levels(model: Any, batch: dict, tile: int | None) -> list[np.ndarray]:
    """Change probabilities of a batch as levels, each (H, W), as ``mamba-cd test`` computes them.

    Args:
        model: An mmseg segmentor.
        batch: Batch of the test loader.
        tile: Side of the tiles to predict; None for whole images.
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
