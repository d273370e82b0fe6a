"""The images of a region, read through its blocks, are those of the whole."""
import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
pytest.importorskip('pyarrow')

from mamba_cd_plugin.inference.pairs import ReadOptions, Span, Window  # noqa: E402  after the skips
from mamba_cd_plugin.regions.grid import RegionGrid  # noqa: E402
from mamba_cd_plugin.regions.mosaic import MosaicPair, PlacedRaster  # noqa: E402
from mamba_cd_plugin.regions.pictures import RegionPictures  # noqa: E402

SHAPE = 130, 210


@pytest.fixture
def region(tmp_path):
    """A pair of one raster each as a region in blocks of 64 px, and the values of both."""
    images = np.random.default_rng(0).integers(0, 256, (2, 3, *SHAPE), np.uint8)
    transform = rasterio.Affine(0.5, 0, 500000., 0, -0.5, 5300000.)
    rasters = []
    for name, image in zip('ab', images):
        with rasterio.open(tmp_path / f'{name}.tif', 'w', driver='GTiff', count=3, height=SHAPE[0], width=SHAPE[1],
                           dtype='uint8', crs='EPSG:32632', transform=transform) as file:
            file.write(image)
        whole = Window(Span(0, SHAPE[0]), Span(0, SHAPE[1]))
        rasters.append([PlacedRaster(str(tmp_path / f'{name}.tif'), whole, True)])
    grid = RegionGrid(rasterio.CRS.from_epsg(32632).to_wkt(), tuple(transform)[:6], *SHAPE, 64)
    blocks = [(row, column) for row in range(3) for column in range(4)]

    def open_block(block):
        if block == (0, 2):
            raise OSError('a.tif: was moved')
        return MosaicPair(grid, *rasters, ReadOptions(), [None, None])

    return RegionPictures(grid, [block for block in blocks if block != (2, 1)], open_block), np.concatenate(
        images).transpose(1, 2, 0)


def expected_valid():
    valid = np.ones(SHAPE, bool)
    valid[:64, 128:192] = False  # cannot be read
    valid[128:, 64:128] = False  # has no result
    return valid


def test_a_window_over_seams(region):
    pictures, values = region
    window = Window(Span(50, 130), Span(60, 200))
    pair, valid = pictures.read(window)
    assert (valid == expected_valid()[50:130, 60:200]).all()
    assert (pair[valid] == values[50:130, 60:200][valid]).all()


@pytest.mark.parametrize('factor', [4, 3, 70])
def test_a_small_picture_of_the_whole(region, factor):
    pictures, values = region
    pair, valid = pictures.thumbnail(factor)
    assert pair.shape == (-(-SHAPE[0] // factor), -(-SHAPE[1] // factor), 6)
    if factor == 4:  # of which blocks are whole multiples
        assert (valid[:32, :32] == expected_valid()[:128:4, :128:4]).all()
        means = values[:64, :64].astype(float).reshape(16, 4, 16, 4, 6).mean((1, 3))
        assert np.abs(pair[:16, :16] - means).max() <= 1
