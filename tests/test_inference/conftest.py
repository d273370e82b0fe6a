"""Models that look only locally, and rasters of a few pixels."""
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mamba_cd_plugin.inference import ChangeDetectionInferencer
from mamba_cd_plugin.inference.models import TileModel
from mamba_cd_plugin.inference.pairs import PairSource, ReadOptions, open_pair
from mamba_cd_plugin.inference.windows import Span, Window

UTM = 'EPSG:32632'
ORIGIN = (500000., 5300000.)  # on the central meridian of zone 32, in Bavaria


class LocalModel(TileModel):
    """The mean difference of A and B over 9 x 9 pixels, with zeros around, as a convolution has them.

    Args:
        stride: With 4 or 8 the difference is first averaged to that stride and then enlarged again, as in an encoder;
            the result of a pixel then depends on where the window starts, unless windows are aligned.
    """

    threshold = 0.2
    fill = np.array([124, 116, 104], np.uint8)
    identity = 'local'

    def __init__(self, stride: int = 1) -> None:
        self.stride = stride
        self.seen: list[tuple] = []

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """Change in 0..1."""
        self.seen.append(pairs.shape)
        values = torch.from_numpy(pairs).permute(0, 3, 1, 2).float() / 255
        change = (values[:, :3] - values[:, 3:]).abs().mean(1, keepdim=True)
        if self.stride > 1:
            size = change.shape[2:]
            change = F.avg_pool2d(change, self.stride, ceil_mode=True, count_include_pad=False)
            change = F.interpolate(change, scale_factor=self.stride)[..., :size[0], :size[1]]
        return F.conv2d(change, torch.full((1, 1, 9, 9), 1 / 81), padding=4)[:, 0].numpy()


@pytest.fixture
def local_models() -> type[LocalModel]:
    """The class of the local models."""
    return LocalModel


@pytest.fixture
def local_model() -> LocalModel:
    """A local model of stride 1."""
    return LocalModel()


def town(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A pair of noisy images in which B has a few bright rectangles that A has not."""
    rng = np.random.default_rng(seed)
    a = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
    b = np.clip(a.astype(int) + rng.integers(-10, 11, a.shape), 1, 255).astype(np.uint8)
    for _ in range(height * width // 2000):
        y, x = rng.integers(0, height), rng.integers(0, width)
        b[y:y + rng.integers(8, 20), x:x + rng.integers(8, 20)] = (230, 220, 210)
    return a, b


@pytest.fixture(name='town')
def _town() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return town


@pytest.fixture
def write_raster() -> Callable[..., Path]:
    """Write an array (H, W, bands) as GeoTIFF with pixels of 0.5 m."""
    rasterio = pytest.importorskip('rasterio')

    def write(path: Path, image: np.ndarray, crs: str | None = UTM, origin: tuple = ORIGIN, size: float = 0.5,
              colorinterp: list | None = None, **profile: Any) -> Path:
        bands = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        transform = rasterio.transform.from_origin(*origin, size, size)
        with rasterio.open(path, 'w', driver='GTiff', count=len(bands), height=bands.shape[1], width=bands.shape[2],
                           dtype=bands.dtype, crs=crs, transform=transform, **profile) as file:
            if colorinterp:
                file.colorinterp = [getattr(rasterio.enums.ColorInterp, name) for name in colorinterp]
            file.write(bands)
        return path

    return write


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """A pair of 60 x 80 pixels."""
    return town(60, 80)


@pytest.fixture
def a(tmp_path: Path, images: tuple, write_raster: Callable[..., Path]) -> Path:
    """The first of the pair as GeoTIFF."""
    return write_raster(tmp_path / 'a.tif', images[0])


@pytest.fixture
def read() -> Callable[..., tuple[np.ndarray, np.ndarray, PairSource]]:
    """Read a whole pair: its pixels (H, W, 6), where both dates have data, and the source with its notes."""

    def read(a: Path, b: Path, **options: Any) -> tuple[np.ndarray, np.ndarray, PairSource]:
        with open_pair(a, b, ReadOptions(**options)) as source:
            tile = source.read(Window(Span(0, source.height), Span(0, source.width)))
            return tile.pair, tile.valid, source

    return read


@pytest.fixture
def inferencer(local_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> ChangeDetectionInferencer:
    """The inferencer around a local model."""
    monkeypatch.setattr('mamba_cd_plugin.inference.inferencer.load_model', lambda *args: local_model)
    return ChangeDetectionInferencer(weights='local.pth', show_progress=False)


@pytest.fixture
def pair(tmp_path: Path, write_raster: Callable[..., Path]) -> tuple[Path, Path]:
    """300 x 260 pixels; B is in another zone of UTM."""
    from rasterio.warp import transform
    a, b = town(300, 260)
    west, north = (value[0] for value in transform('EPSG:32632', 'EPSG:32633', [499960], [5300025]))
    wide = np.pad(b, ((150, 150), (150, 150), (0, 0)), mode='wrap')
    return (write_raster(tmp_path / 'a.tif', a, nodata=0),
            write_raster(tmp_path / 'b.tif', wide, crs='EPSG:32633', origin=(west, north)))


@pytest.fixture(scope='session')
def toy_checkpoint(toy_config: Callable[[str], Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mmengine saves, for V8 at toy size: weights, config text, and the scores of the last validation."""
    from mmengine.logging.history_buffer import HistoryBuffer
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = toy_config('cdmamba_v8_levircd.py')
    model = MODELS.build(cfg.model)
    model.decode_head.conv_seg.weight.data *= 20  # so that some pixels are changed and some are not
    scores = {'val/changed_F1': HistoryBuffer([0.5, 0.75], [1, 1]), 'val/time': HistoryBuffer([3.], [1])}
    path = tmp_path_factory.mktemp('toy') / 'best_changed_F1.pth'
    torch.save(
        dict(
            meta=dict(cfg=cfg.pretty_text, epoch=2, iter=20, dataset_meta=dict(classes=('unchanged', 'changed'))),
            state_dict=model.state_dict(), message_hub=dict(log_scalars=scores), optimizer=dict(state={})), path)
    return path
