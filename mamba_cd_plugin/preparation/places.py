"""Whether the files of a training pair lie in one place by their georeference."""
from collections.abc import Mapping
from importlib.util import find_spec

# What to do about it, for the end of a message.
ONE_GRID = ('warp them onto one grid (gdalwarp -te -tr, or gdal_rasterize for labels), or, if the georeference is '
            'wrong, remove it (gdal_edit.py -unsetgt)')


def files_apart(paths: Mapping[str, str]) -> str:
    """See :func:`mamba_cd_plugin.io.grids.describe_apart`; without rasterio, which reads the georeference, ''."""
    if find_spec('rasterio') is None:
        return ''
    from ..io.grids import describe_apart
    return describe_apart(paths)
