"""A region as its blocks leave it, without a model; and one that is made from rasters."""
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mamba_cd_plugin.inference.models import TileModel
from mamba_cd_plugin.inference.pairs import ReadOptions
from mamba_cd_plugin.inference.windows import PredictOptions

UTM = 'EPSG:32632'


@pytest.fixture(scope='session')
def write_region() -> Callable[..., 'object']:
    """Write the blocks of a mask and its quantised probability, all but those left out; gives the grid."""
    rasterio = pytest.importorskip('rasterio')
    geopandas = pytest.importorskip('geopandas')
    pytest.importorskip('pyarrow')
    import shapely

    from mamba_cd_plugin.inference.polygons import PolygonGrid, count_pixels, outline_pixels
    from mamba_cd_plugin.regions.grid import RegionGrid, block_folder

    def write(out: Path, mask: np.ndarray, probability: np.ndarray, block: int, crs: str = UTM, size: float = 0.5,
              gaps: tuple = (), cog: bool = True) -> RegionGrid:
        transform = rasterio.Affine(size, 0, 500000., 0, -size, 5300000.)
        grid = RegionGrid(rasterio.CRS.from_user_input(crs).to_wkt(), tuple(transform)[:6], *mask.shape, block)
        grid.save(out)
        for row in range(grid.shape[0]):
            for column in range(grid.shape[1]):
                if (row, column) in gaps:
                    continue
                folder = block_folder(out, row, column)
                folder.mkdir(parents=True)
                window = grid.window(row, column)
                place = np.s_[window.rows.start:window.rows.stop, window.columns.start:window.columns.stop]
                affine = transform @ rasterio.Affine.translation(window.columns.start, window.rows.start)
                for name, values in (('mask', mask[place]), ('probability', probability[place])):
                    with rasterio.open(folder / f'{name}.tif', 'w', driver='COG' if cog else 'GTiff', count=1,
                                       height=values.shape[0], width=values.shape[1], dtype='uint8', nodata=255,
                                       crs=crs, transform=affine, compress='deflate') as file:
                        file.write(values, 1)
                shapes = outline_pixels(mask[place])
                pixels, sums = count_pixels(shapes, probability[place])
                bounds = shapely.bounds(shapes).reshape(-1, 4)
                edge = (bounds[:, :2] == 0).any(1) | (bounds[:, 2:] == window.shape[::-1]).any(1)
                geopandas.GeoDataFrame(
                    dict(pixels=pixels, probability_sum=sums, touches_edge=edge),
                    geometry=list(PolygonGrid(affine, None).to_ground(shapes)), crs=crs).to_parquet(
                        folder / 'polygons.parquet')
                counts = np.bincount(mask[place].ravel(), minlength=256)
                (folder / 'manifest.json').write_text(json.dumps(dict(
                    digest=f'{row}{column}', pixels=int(counts[0] + counts[1]), changed_pixels=int(counts[1]),
                    nodata_pixels=int(counts[255]))))
        return grid

    return write


class TellTaleModel(TileModel):
    """Its result shows where in the window a pixel was, and what else was in the batch: any other window or batch than
    those of one large prediction gives other bytes."""

    threshold = 0.3
    fill = np.array([124, 116, 104], np.uint8)
    identity = 'tell-tale'

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """(N, H, W, 6) to (N, H, W)."""
        a, b = pairs[..., :3].astype(np.float32), pairs[..., 3:].astype(np.float32)
        rows, columns = np.mgrid[:pairs.shape[1], :pairs.shape[2]].astype(np.float32)
        return (np.abs(a - b).mean(axis=-1) / 400 + rows / 1000 + columns / 3000 + len(pairs) / 50).astype(np.float32)


class Tools:
    """Writes rasters and makes a region of them."""

    UTM = UTM
    ORIGIN = (500000., 5300000.)
    PIXEL = 0.5
    WINDOWS = PredictOptions(tile=64, overlap=32, batch_size=2)

    @staticmethod
    def town(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """A noisy pair with bright rectangles in B."""
        rng = np.random.default_rng(seed)
        a = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
        b = a.copy()
        for y, x in zip(rng.integers(0, height, 12), rng.integers(0, width, 12)):
            b[y:y + 15, x:x + 20] = (230, 220, 210)
        return a, b

    def write(self, path: Path, image: np.ndarray, row: float = 0, column: float = 0, size: float = PIXEL,
              crs: str = UTM, **profile: Any) -> Path:
        """Write an array (H, W, bands) that begins in a row and column of the region."""
        import rasterio
        path.parent.mkdir(exist_ok=True)
        west, north = self.ORIGIN
        affine = rasterio.Affine(size, 0, west + column * self.PIXEL, 0, -size, north - row * self.PIXEL)
        with rasterio.open(path, 'w', driver='GTiff', count=image.shape[2], height=image.shape[0],
                           width=image.shape[1], dtype=image.dtype, crs=crs, transform=affine, **profile) as file:
            file.write(image.transpose(2, 0, 1))
        return path

    def open(self, folder: Path, out: str = 'out', running: PredictOptions = WINDOWS,
             reading: ReadOptions | None = None, **options: Any) -> Any:
        """The region of the rasters in ``before`` and ``after`` of a folder."""
        from mamba_cd_plugin.regions.region import RegionOptions, open_region, prepare_folder
        wanted = RegionOptions(**dict(dict(before=[str(folder / 'before')], after=[str(folder / 'after')],
                                           out=str(folder / out), checkpoint='none.pth', block=100, device='cpu',
                                           probability='float32'), **options))
        region = open_region(wanted, reading or ReadOptions(), running, 'cpu')
        prepare_folder(region, wanted)
        return region

    def make(self, folder: Path, **options: Any) -> tuple[dict, Any]:
        """Make the missing blocks; gives the summary and the region."""
        from mamba_cd_plugin.regions.engine import run_blocks
        from mamba_cd_plugin.regions.finish import FinishOptions
        from mamba_cd_plugin.regions.region import finish_region
        region = self.open(folder, **options)
        outcome = run_blocks(region.job, region.missing, len(region.tasks))
        return finish_region(region, outcome, FinishOptions(page=False)), region

    @staticmethod
    def merged(out: Path, name: str = 'probability') -> np.ndarray:
        """All blocks as one array."""
        import rasterio

        from mamba_cd_plugin.regions.grid import RegionGrid, block_folder, finished_blocks
        grid = RegionGrid.load(out)
        whole = np.full((grid.height, grid.width), *((255, np.uint8) if name == 'mask' else (np.nan, np.float32)))
        for block in finished_blocks(out):
            window = grid.window(*block)
            with rasterio.open(block_folder(out, *block) / f'{name}.tif') as file:
                assert file.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
                whole[slice(*window.rows), slice(*window.columns)] = file.read(1)
        return whole


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tools]:
    """Makes regions, with the tell-tale model as that of this process."""
    pytest.importorskip('rasterio')
    pytest.importorskip('pyarrow')
    from mamba_cd_plugin.regions import blocks
    one = TellTaleModel()
    monkeypatch.setattr('mamba_cd_plugin.regions.blocks.load_model', lambda *args: one)
    monkeypatch.setattr('mamba_cd_plugin.inference.inferencer.load_model', lambda *args: one)
    blocks.worker_model.cache_clear()
    yield Tools()
    blocks.worker_model.cache_clear()


@pytest.fixture
def two_rasters(tools: Tools, tmp_path: Path) -> Path:
    """A pair of 230 x 310 pixels; B is in another zone of UTM, and A has a corner without data."""
    import rasterio
    from rasterio.warp import transform
    a, b = tools.town(230, 310)
    a[:70, :80] = 0
    west, north = (value[0] for value in transform(UTM, 'EPSG:32633', [tools.ORIGIN[0] - 40], [tools.ORIGIN[1] + 25]))
    wide = np.pad(b, ((150, 150), (150, 150), (0, 0)), mode='wrap')
    tools.write(tmp_path / 'before/a.tif', a, nodata=0)
    path = tools.write(tmp_path / 'after/b.tif', wide, crs='EPSG:32633')
    with rasterio.open(path, 'r+') as file:
        file.transform = rasterio.Affine(tools.PIXEL, 0, west, 0, -tools.PIXEL, north)
    return tmp_path
