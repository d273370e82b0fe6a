"""Writes generated scenes as a data set of LEVIR layout: all of it or nothing."""
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmengine.logging import print_log
from mmengine.utils import ProgressBar

from .scene import NUISANCES, Size, check_nuisances, check_size, generate_pair, warm_up

METADATA_NAME = 'synthetic.json'
SPLITS = ('train', 'val', 'test')
FOLDERS = ('A', 'B', 'label')
# Counted up whenever the same seed gives other pictures than before, so that old data sets are not taken for new.
GENERATOR_VERSION = 6
# Fixed, as they are part of what makes files identical from run to run. On these noisy images run-length coding takes
# half the time of the others and the files are no larger.
_PNG_PARAMS = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


def write_dataset(root: str | Path, num_train: int, num_val: int, num_test: int, size: Size = 256, seed: int = 0,
                  num_workers: int = 1, overwrite: bool = False, easy: bool = False,
                  nuisances: Collection[str] = NUISANCES, quiet_share: float | None = None) -> bool:
    """Writes ``root/{train,val,test}/{A,B,label}/NAME.png`` and a small metadata file beside them.

    The files are the same for any number of workers, and scene number i of a split does not depend on how many there
    are. They are written into a hidden folder beside `root`, which takes the name of `root` at the very end.

    Args:
        root: Folder to write; must not exist, be empty, or hold generated scenes.
        num_train, num_val, num_test: Pairs per split.
        size: Pixels, one number or (height, width).
        seed: Seed of the whole data set.
        num_workers: Processes.
        overwrite: Whether to replace generated scenes that were made with other parameters.
        easy, nuisances, quiet_share: See `generate_pair`.

    Returns:
        Whether anything was written: False if `root` already holds just these scenes.

    Raises:
        ValueError: If a number makes no sense.
        FileExistsError: If `root` holds something else.
    """
    root = Path(root).absolute()
    counts = dict(zip(SPLITS, (num_train, num_val, num_test)))
    if min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(f'Pairs per split: {counts}; expected no negative number and at least one pair in all')
    if num_workers < 1 or seed < 0:
        raise ValueError(f'num_workers = {num_workers}, seed = {seed}; expected at least 1 worker and a seed >= 0')
    check_nuisances(nuisances, quiet_share)
    wanted = {
        'generator': __package__,
        'version': GENERATOR_VERSION,
        'counts': counts,
        'size': list(check_size(size)),
        'seed': seed,
        'easy': easy,
        # Both only where they are not as usual, so that data sets from before they existed are still known.
        **({} if set(nuisances) == set(NUISANCES) else {'nuisances': sorted(nuisances)}),
        **({} if quiet_share is None else {'quiet_share': quiet_share}),
    }
    if _holds(root, wanted, overwrite):
        print_log(f'{root} already holds these scenes')
        return False

    unfinished = _sibling(root, 'unfinished')
    try:
        for split in SPLITS:
            for folder in FOLDERS:
                (unfinished / split / folder).mkdir(parents=True)
        shares = _write_pairs(unfinished, wanted, num_workers)
        (unfinished / METADATA_NAME).write_text(json.dumps(wanted, indent=2) + '\n', encoding='utf-8')
        _publish(unfinished, root)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print_log(f'Wrote {len(shares)} pairs to {root}: {np.mean(shares):.1%} of the pixels changed, '
              f'{shares.count(0.0)} pairs without any change')
    return True


def _holds(root: Path, wanted: dict[str, Any], overwrite: bool) -> bool:
    """Whether `root` is complete and just what is wanted; raises where something else may not be replaced."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    found = _read_metadata(root)
    if found is None:
        raise FileExistsError(f'{root} exists and is no folder of generated scenes (no readable {METADATA_NAME}). '
                              'Choose another folder, or remove it yourself.')
    if found != wanted:
        if overwrite:
            return False
        differences = ', '.join(f'{key} {found.get(key, "as usual")} instead of {wanted.get(key, "as usual")}'
                                for key in {**wanted, **found} if found.get(key) != wanted.get(key))
        raise FileExistsError(f'{root} holds other generated scenes: {differences}. Choose another folder, or pass '
                              '--overwrite (overwrite=True) to replace them.')
    for split, count in wanted['counts'].items():
        for folder in FOLDERS:
            number = sum(1 for _ in (root / split / folder).glob('*.png'))
            if number != count:
                print_log(f'{root / split / folder} holds {number} files instead of {count}: writing all scenes again',
                          level=logging.WARNING)
                return False
    return True


def _read_metadata(root: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((root / METADATA_NAME).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get('generator') == __package__ else None


def _write_pairs(root: Path, wanted: dict[str, Any], num_workers: int) -> list[float]:
    """Generates and writes all pairs; returns the share of changed pixels of each."""
    tasks = [(split, i) for split in SPLITS for i in range(wanted['counts'][split])]
    options = {key: wanted[key] for key in ('easy', 'nuisances', 'quiet_share') if key in wanted}
    write = partial(_write_pair, root, tuple(wanted['size']), wanted['seed'], options)
    bar, shares = ProgressBar(len(tasks)), []
    if num_workers == 1:
        for task in tasks:
            shares.append(write(task))
            bar.update()
    else:
        # Not mmengine's track_parallel_progress: after an error or Ctrl-C its workers would go on writing.
        warm_up()
        with _one_opencv_thread(), Pool(num_workers) as pool:
            for share in pool.imap(write, tasks):
                shares.append(share)
                bar.update()
    bar.file.write('\n')
    return shares


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Makes OpenCV work without threads, in this process and those forked from it, which hang with OpenCV's threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _write_pair(root: Path, size: tuple[int, int], seed: int, options: dict[str, Any], task: tuple[str, int]) -> float:
    split, index = task
    pair = generate_pair((seed, SPLITS.index(split), index), size, **options)
    # OpenCV takes BGR.
    for folder, image in zip(FOLDERS, (pair.a[..., ::-1], pair.b[..., ::-1], pair.label)):
        mmcv.imwrite(np.ascontiguousarray(image), str(root / split / folder / f'{split}_{index:04d}.png'), _PNG_PARAMS)
    return float(np.mean(pair.label > 0))


def _sibling(root: Path, purpose: str) -> Path:
    """A hidden name beside `root`, on the same file system, that no other running process uses."""
    path = root.with_name(f'.{root.name}.{purpose}-{os.getpid()}')
    shutil.rmtree(path, ignore_errors=True)  # of a killed process that had the same number
    return path


def _publish(finished: Path, root: Path) -> None:
    """Gives a finished folder its name; what had it before goes, or comes back if that fails."""
    former = _sibling(root, 'former')
    if root.exists():
        root.rename(former)
    try:
        finished.rename(root)
    except OSError:
        if former.exists():
            former.rename(root)
        raise
    shutil.rmtree(former, ignore_errors=True)
