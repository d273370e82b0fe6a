"""What finds the files of a region: a virtual raster over the blocks, and a STAC item."""
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import rasterio
import shapely
from pyproj import CRS

from ..io.grids import map_points, to_degrees
from ..io.rasters import RASTER_ERRORS
from ..version import __version__
from .grid import BORDER, RegionGrid, block_folder

GDAL_TYPES = dict(uint8='Byte', float32='Float32')
DIGITS = 7  # of degrees: a centimetre
PROJECTION = 'https://stac-extensions.github.io/projection/v2.0.0/schema.json'
PROCESSING = 'https://stac-extensions.github.io/processing/v1.2.0/schema.json'


def write_vrt(path: Path, out: Path, grid: RegionGrid, blocks: Sequence[tuple[int, int]], name: str) -> None:
    """Write a virtual raster: GDAL and QGIS read the blocks through it as one raster.

    The paths in it are relative to the folder of the results, so that the folder can be moved and served.

    Args:
        path: Path of the file, in ``out`` or, for now, beside it.
        out: The folder of the results.
        grid: Grid of the region.
        blocks: The finished blocks; at least one.
        name: File name of the raster in each block, such as ``mask.tif``.

    Raises:
        OSError: If a block has no such raster.
    """
    first = block_folder(out, *blocks[0]) / name
    try:
        with rasterio.open(first) as file:
            dtype, nodata, scale = file.dtypes[0], file.nodata, file.scales[0]
            description = file.descriptions[0]
            colours = file.colormap(1) if 'palette' in [colour.name for colour in file.colorinterp] else {}
    except RASTER_ERRORS as error:
        raise OSError(f'{first}: cannot be read ({error}). Delete the folder of the block and run the same command '
                      'again') from error
    root = ElementTree.Element('VRTDataset', rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs:
        # Without dataAxisToSRSAxisMapping: x is east then, also in a CRS whose first axis is north, such as EPSG:3035.
        ElementTree.SubElement(root, 'SRS').text = grid.crs
    ElementTree.SubElement(root, 'GeoTransform').text = ', '.join(map(repr, grid.affine.to_gdal()))
    band = ElementTree.SubElement(root, 'VRTRasterBand', dataType=GDAL_TYPES[dtype], band='1', blockXSize='512',
                                  blockYSize='512')
    if description:
        ElementTree.SubElement(band, 'Description').text = description
    # Where no block is, a read gives this value too.
    ElementTree.SubElement(band, 'NoDataValue').text = f'{nodata:g}'
    if scale != 1:
        ElementTree.SubElement(band, 'Scale').text = repr(scale)
    if colours:
        ElementTree.SubElement(band, 'ColorInterp').text = 'Palette'
        table = ElementTree.SubElement(band, 'ColorTable')
        for value in range(256):
            entry = dict(zip(('c1', 'c2', 'c3', 'c4'), map(str, colours.get(value, (0, 0, 0, 255)))))
            ElementTree.SubElement(table, 'Entry', entry)
    for block in blocks:
        rows, columns = grid.window(*block)
        size = dict(xSize=str(columns.stop - columns.start), ySize=str(rows.stop - rows.start))
        source = ElementTree.SubElement(band, 'SimpleSource')
        relative = (block_folder(out, *block) / name).relative_to(out).as_posix()
        ElementTree.SubElement(source, 'SourceFilename', relativeToVRT='1').text = relative
        ElementTree.SubElement(source, 'SourceBand').text = '1'
        # With these GDAL need not open a hundred thousand blocks to open the whole.
        ElementTree.SubElement(source, 'SourceProperties', RasterXSize=size['xSize'], RasterYSize=size['ySize'],
                               DataType=GDAL_TYPES[dtype], BlockXSize='512', BlockYSize='512')
        ElementTree.SubElement(source, 'SrcRect', dict(xOff='0', yOff='0') | size)
        ElementTree.SubElement(source, 'DstRect', dict(xOff=str(columns.start), yOff=str(rows.start)) | size)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding='utf-8')


class Asset(NamedTuple):
    """A file for the STAC item."""
    key: str
    href: str
    title: str
    media_type: str
    roles: tuple[str, ...]


def stac_item(name: str, grid: RegionGrid, dates: tuple[datetime, datetime], assets: Sequence[Asset],
              summary: dict, model: dict) -> Any:
    """A STAC item of the result.

    Args:
        name: Id of the item.
        grid: Grid of the region.
        dates: Dates of the first and of the last image.
        assets: The files.
        summary: Totals that it should have.
        model: Name, hash and settings of the model.

    Returns:
        pystac's Item. Without a geometry where the CRS has no place on Earth.
    """
    import pystac
    outline = _outline_in_degrees(grid)
    crs = CRS.from_wkt(grid.crs) if grid.crs else None
    code = None if crs is None else crs.to_authority()
    properties = {
        'title': f'Changes between {dates[0]:%Y-%m-%d} and {dates[1]:%Y-%m-%d}',
        'proj:code': None if code is None else ':'.join(code),
        'proj:shape': [grid.height, grid.width],
        'proj:transform': list(tuple(grid.affine)[:6]),
        'processing:level': 'L4',  # a product of a model, in the levels of CEOS
        'processing:software': {'mamba_cd_plugin': __version__},
        **{f'mamba_cd:{key}': value for key, value in summary.items()},
        'mamba_cd:model': model,
    }
    if code is None and crs is not None:
        properties['proj:projjson'] = crs.to_json_dict()
    item = pystac.Item(
        id=name, geometry=None if outline is None else shapely.geometry.mapping(outline),
        bbox=None if outline is None else list(outline.bounds), datetime=None, start_datetime=dates[0],
        end_datetime=dates[1], properties=properties, stac_extensions=[PROJECTION, PROCESSING])
    for asset in assets:
        item.add_asset(asset.key, pystac.Asset(asset.href, asset.title, media_type=asset.media_type,
                                               roles=list(asset.roles)))
    return item


def _outline_in_degrees(grid: RegionGrid) -> shapely.Polygon | None:
    x, y = map_points(grid.affine, BORDER * (grid.width, grid.height)).T
    degrees = None if grid.rasterio_crs is None else to_degrees(grid.rasterio_crs, x, y)
    if degrees is None or not np.isfinite(degrees).all():
        return None
    return shapely.geometry.polygon.orient(shapely.Polygon(np.round(np.stack(degrees, 1), DIGITS)))
