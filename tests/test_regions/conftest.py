"""A region as its blocks leave it, without a model."""
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

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
