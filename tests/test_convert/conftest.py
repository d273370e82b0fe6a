"""Made-up downloads in the official layouts, small enough to be cut in no time."""
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.preparation.convert.catalog import CATALOG, DatasetFacts, OfficialSplit

FOLDERS = {
    'levircd': ('A', 'B'), 'levircd_plus': ('A', 'B'), 'clcd': ('time1', 'time2'), 'sysu_cd': ('time1', 'time2'),
    's2looking': ('Image1', 'Image2')
}


def make_pixels(height: int, width: int, seed: int) -> np.ndarray:
    """A picture of which no two parts are alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def make_mask(height: int, width: int, seed: int, value: int = 255) -> np.ndarray:
    """A label with some changed pixels."""
    return (np.random.default_rng([seed, 1]).random((height, width)) < 0.2).astype(np.uint8) * np.uint8(value)


@pytest.fixture(scope='session')
def pixels() -> Callable[[int, int, int], np.ndarray]:
    """Makes a picture by height, width and seed."""
    return make_pixels


@pytest.fixture(scope='session')
def mask() -> Callable[..., np.ndarray]:
    """Makes a label by height, width, seed and the value of changed pixels."""
    return make_mask


@pytest.fixture(scope='session')
def folders() -> dict[str, tuple[str, ...]]:
    """By data set, the folders of A, B and label."""
    return {key: (*pair, 'label') for key, pair in FOLDERS.items()}


@pytest.fixture
def small() -> Callable[..., DatasetFacts]:
    """A data set of the catalog with fewer and smaller images."""

    def shrink(key: str, side: int = 8, **images: int) -> DatasetFacts:
        splits = {split: OfficialSplit(count, side, side) for split, count in images.items()}
        return replace(CATALOG[key], splits=splits)

    return shrink


@pytest.fixture
def download(tmp_path: Path, save: Callable) -> Callable[..., Path]:
    """Write a download of single images in its official layout, with names that count from 1."""

    def write(facts: DatasetFacts, head: str = '', name: str = '{split}_{number}') -> Path:
        root = tmp_path / 'download'
        a, b = FOLDERS[facts.key]
        seed = 0
        for split, (images, height, width) in facts.splits.items():
            for number in range(1, images + 1):
                stem = name.format(split=split, number=number)
                seed += 3
                save(root / head / split / a / f'{stem}.png', make_pixels(height, width, seed))
                save(root / head / split / b / f'{stem}.png', make_pixels(height, width, seed + 1))
                save(root / head / split / 'label' / f'{stem}.png', make_mask(height, width, seed + 2))
        return root

    return write


@pytest.fixture
def pack() -> Callable[[Path, Path], Path]:
    """Pack what lies in a folder into a zip."""

    def write(folder: Path, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, 'w') as packed:
            for path in sorted(folder.rglob('*')):
                packed.write(path, path.relative_to(folder))
        return target

    return write


@pytest.fixture
def read() -> Callable[[Path], np.ndarray]:
    """The pixels of a file."""
    return lambda path: np.asarray(Image.open(path))
