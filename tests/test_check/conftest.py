"""A clean data set of generated scenes, to plant faults in."""
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.synthetic import generate_pair

SIDE = 96
PAIRS = dict(train=10, val=5)


@pytest.fixture(scope='session')
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs as they should be. Without the nuisances that make scenes of this size hard to register."""
    root = tmp_path_factory.mktemp('clean')
    seed = 400  # from here on the scenes of this size show enough to be registered by
    for split, count in PAIRS.items():
        for number in range(count):
            pair = generate_pair(seed, SIDE, nuisances=())
            while not 0.01 < (pair.label > 0).mean() < 0.4:  # each with some change
                seed += 1
                pair = generate_pair(seed, SIDE, nuisances=())
            seed += 1
            for role, array in (('A', pair.a), ('B', pair.b), ('label', pair.label)):
                path = root / split / role / f'{number}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    return root


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(clean, tmp_path / 'data'))


@pytest.fixture(scope='session')
def read() -> Callable[[Path], np.ndarray]:
    """The pixels of a file."""
    return lambda path: np.array(Image.open(path))


@pytest.fixture(scope='session')
def write() -> Callable[[Path, np.ndarray], None]:
    """Writes pixels over a file."""
    return lambda path, array: Image.fromarray(array).save(path)


@pytest.fixture(scope='session')
def move() -> Callable[[np.ndarray, float, float], np.ndarray]:
    """Moves a picture by a fraction of pixels to the right and down, exactly: by the phase of its spectrum."""

    def shift(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
        rows, columns = (np.fft.fftfreq(length) for length in image.shape[:2])
        phase = np.exp(-2j * np.pi * (dy * rows[:, None] + dx * columns[None]))
        moved = np.fft.ifft2(np.fft.fft2(image.astype(float), axes=(0, 1)) * phase[..., None], axes=(0, 1))
        return np.clip(np.round(moved.real), 0, 255).astype(np.uint8)

    return shift
