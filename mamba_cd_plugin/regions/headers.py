"""What the header of a raster says about it, before any of its pixels are read."""
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import rasterio

from ..io.grids import check_location, describe_lost, how_to_assign
from ..io.rasters import RASTER_ERRORS, choose_bands
from .clouds import CloudOptions

WEB_TIMEOUT = 60


@dataclass(frozen=True)
class Raster:
    """One raster of a date, as its header has it.

    Attributes:
        path: Path of the file, or GDAL's name for one elsewhere.
        crs: CRS as WKT.
        transform: The six numbers of its affine map.
        height, width: Size in pixels.
        dtype: Type of its values.
        state: Hash that changes when the content does.
        date: Time of acquisition (ISO 8601); '' if unknown.
        cloud: File of its cloud mask; '' if there is none, or if the mask is one of its bands.
        scaling: Scale and offset of its values.
    """
    path: str
    crs: str
    transform: tuple[float, ...]
    height: int
    width: int
    dtype: str
    state: str
    date: str = ''
    cloud: str = ''
    scaling: tuple[float, float] = (1., 0.)


class Unusable(NamedTuple):
    """A file that is left out.

    Attributes:
        path: Path of the file.
        reason: Why it cannot be used.
    """
    path: str
    reason: str


class Found(NamedTuple):
    """A raster that an input names: path, time of acquisition and file of the cloud mask; '' if unknown."""
    path: str
    date: str = ''
    cloud: str = ''


def read_header(found: Found, bands: Sequence[int] | None, clouds: CloudOptions | None) -> Raster | Unusable:
    """The header of a raster.

    Args:
        found: The raster.
        bands: The numbers of the bands that will be read, or None.
        clouds: Band and values of its cloud mask, or None.
    """
    path = found.path
    elsewhere = path.startswith('/vsi')
    if not elsewhere and not Path(path).is_file():
        return Unusable(path, 'does not exist')
    try:
        with rasterio.Env(**(dict(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR') if elsewhere else {})), \
                rasterio.open(path) as file:
            check_location(file)
            if file.crs is None:
                return Unusable(path, 'has no CRS, so it cannot be known where it lies. Assign it: '
                                      f'{how_to_assign(path)}')
            if file.transform.is_identity:
                return Unusable(path, describe_lost(file))
            choice = choose_bands(file, bands)
            facts = [path, file.nodata, [str(colour) for colour in file.colorinterp], choice.indexes]
            if clouds is not None:
                facts.append(_check_clouds(found, file, clouds, choice.indexes))
            state = sha256(json.dumps([facts, _content(path, file.files)]).encode()).hexdigest()[:16]
            return Raster(path, file.crs.to_wkt(), tuple(file.transform)[:6], file.height, file.width,
                          file.dtypes[choice.indexes[0] - 1], state, found.date or _date_of(path, file), found.cloud,
                          (file.scales[choice.indexes[0] - 1], file.offsets[choice.indexes[0] - 1]))
    except RASTER_ERRORS as error:
        return Unusable(path, f'cannot be read as a raster ({error})')
    except ValueError as error:
        return Unusable(path, str(error))


def common_type(label: str, rasters: Sequence[Raster]) -> str:
    """The type of the values of all rasters of a date.

    Raises:
        ValueError: If they have several, or the same number means different things in them: then no rule makes
            comparable 8 bits of all.
    """
    types = {raster.dtype: raster.path for raster in reversed(rasters)}
    if len(types) > 1:
        shown = ', '.join(f'{kind} ({path})' for kind, path in sorted(types.items()))
        raise ValueError(f'--{label}: the rasters have values of different types: {shown}. One rule cannot make 8 bits '
                         'of both; convert one kind (gdal_translate -ot)')
    scalings = {raster.scaling: raster.path for raster in reversed(rasters)}
    if len(scalings) > 1 and rasters[0].dtype != 'uint8':
        two = sorted(scalings.items())[:2]
        shown = ', '.join(f'{scale:g} and {offset:g} ({path})' for (scale, offset), path in two)
        raise ValueError(f'--{label}: the rasters have different scales and offsets in their headers: {shown}. One '
                         'rule cannot make 8 bits of both; apply them first (gdal_translate -unscale -ot Float32)')
    return rasters[0].dtype


def _check_clouds(found: Found, file: Any, clouds: CloudOptions, colours: Sequence[int]) -> list:
    """Facts that change when a cloud mask does, for the hash.

    Raises:
        ValueError: If there is none.
    """
    if not found.cloud:
        if clouds.band > file.count or clouds.band in colours:
            what = f'has the bands {list(file.indexes)}' if clouds.band > file.count else (
                f'its colours are read from bands {list(colours)} (choose others with --bands)')
            raise ValueError(f'has no cloud mask in band {clouds.band}, as --cloud-band says: {what}')
        return [clouds.band]
    try:
        with rasterio.open(found.cloud) as mask:
            if mask.count < clouds.band or mask.crs is None:
                raise ValueError(f'its cloud mask {found.cloud} has the bands {list(mask.indexes)} and '
                                 f'{"no" if mask.crs is None else "a"} CRS; expected a band {clouds.band} and a CRS')
            return [found.cloud, clouds.band, _content(found.cloud, mask.files)]
    except RASTER_ERRORS as error:
        raise ValueError(f'its cloud mask cannot be read ({error})') from error


def _content(path: str, files: Sequence[str]) -> list:
    """Facts that change when a raster, or a file that it refers to, does: for the hash."""
    if path.startswith('/vsicurl/'):
        with_head = Request(path[len('/vsicurl/'):], method='HEAD')
        try:
            with urlopen(with_head, timeout=WEB_TIMEOUT) as answer:
                return [answer.headers.get(key) for key in ('ETag', 'Last-Modified', 'Content-Length')]
        except (URLError, OSError):
            return []
    # Viewers write statistics into .aux.xml; what else may stand there is in the header that GDAL gives.
    kept = [name for name in sorted(files) if Path(name).is_file() and not name.endswith('.aux.xml')]
    return [[name, Path(name).stat().st_size, Path(name).stat().st_mtime_ns] for name in kept]


def _date_of(path: str, file: Any) -> str:
    """When a raster was taken by its own header, else when its file was written; '' where neither is known."""
    tag = file.tags().get('TIFFTAG_DATETIME', '')  # 2023:05:01 12:00:00
    date = as_iso(re.sub(r'^(\d{4}):(\d\d):(\d\d)', r'\1-\2-\3', tag)) if tag else ''
    if date or path.startswith('/vsi'):
        return date
    return as_iso(datetime.fromtimestamp(Path(path).stat().st_mtime, timezone.utc))


def as_iso(value: Any) -> str:
    """A time as text that sorts like time; '' for none."""
    if hasattr(value, 'to_pydatetime'):
        value = value.to_pydatetime()
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(str(value).strip().replace('Z', '+00:00'))
        except ValueError:
            return ''
    value = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return value.astimezone(timezone.utc).isoformat()
