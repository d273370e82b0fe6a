"""A finished run, opened from its work dir."""
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from mmengine.config import Config

from ..datasets.data_root import DATA_ROOT_ENV
from ..engine.config_options import merge_options
from ..io.pictures import shorten

BEST = 'best_changed_F1.pth'


@dataclass(frozen=True)
class Run:
    """What a report needs of a work dir.

    Attributes:
        name: In the report.
        work_dir: The folder.
        cfg: The config that the training left there, with the user's overrides.
        checkpoint: The weights that are evaluated.
    """
    name: str
    work_dir: Path
    cfg: Config
    checkpoint: Path


def open_run(work_dir: str,
             name: Optional[str] = None,
             checkpoint: Optional[str] = None,
             cfg_options: Optional[Dict[str, Any]] = None) -> Run:
    """Find the config and the best checkpoint of a run.

    The data root is, in this order, that of ``cfg_options``, the environment variable ``MAMBA_CD_DATA``, and what the
    training used: the data may lie elsewhere by now.

    Args:
        work_dir: Folder of the run.
        name: In the report; by default that of the folder.
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


def open_runs(work_dirs: Sequence[str], names: Optional[Sequence[str]] = None, **kwargs: Any) -> list[Run]:
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
    """The config that mmengine's runner dumped; a work dir that was used by several configs holds several."""
    files = sorted(folder.glob('*.py'))
    named = folder / f'{folder.resolve().name}.py'
    if named in files or len(files) == 1:
        return named if named in files else files[0]
    if not files:
        raise FileNotFoundError(f'{folder} holds no config (*.py), which every training writes there; expected the '
                                'work dir of a run, as tools/train.py makes it')
    raise ValueError(f'{folder} holds several configs: {shorten([file.name for file in files])}. Expected one, or one '
                     f'called {named.name}: move the others away')


def _find_checkpoint(folder: Path, name: Optional[str]) -> Path:
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


def describe(run: Run) -> str:
    """The parts that tell one version from another, in one line."""
    model = run.cfg.model
    head = model.get('decode_head', {})
    parts = {'': model.get('backbone', {}).get('arch'), 'skip': _type(head.get('skip')),
             'edge': _type(head.get('edge')), 'gate': (head.get('fusion') or {}).get('gate')}
    known = [f'{what} {value}'.strip() for what, value in parts.items() if value]
    return ', '.join([_type(model.get('backbone')), *known])


def _type(part: Optional[dict]) -> str:
    return str((part or {}).get('type', '')).rpartition('.')[2]
