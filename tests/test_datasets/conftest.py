"""A tiny data set of LEVIR layout, drawn from a seed."""
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _no_data_root_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MAMBA_CD_DATA', raising=False)


@pytest.fixture
def levir(tmp_path: Path, save: Callable) -> Callable[..., Path]:
    """Write ``count`` pairs of ``size`` pixels per split, and return the root; labels are 0/255 rectangles."""

    def write(splits: tuple = ('train', 'val', 'test'), count: int = 3, size: int = 64, suffix: str = '.png') -> Path:
        rng = np.random.RandomState(0)
        for split in splits:
            for i in range(count):
                label = np.zeros((size, size), np.uint8)
                label[i:i + size // 4, i:i + size // 3] = 255
                for folder in ('A', 'B'):
                    image = rng.randint(0, 256, (size, size, 3), np.uint8)
                    save(tmp_path / split / folder / f'{i}{suffix}', image)
                save(tmp_path / split / 'label' / f'{i}.png', label)
        return tmp_path

    return write
