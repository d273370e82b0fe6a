"""The rasters of one date: found in folders, lists, tile indexes and STAC items, and put in a stated order."""
import glob
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urljoin
from urllib.request import urlopen

from ..inference.pairs import IMAGE_SUFFIXES, PICTURE_SUFFIXES
from ..io.files import own_outputs
from ..io.listing import is_clutter
from .clouds import CloudOptions
from .grid import GRID
from .headers import WEB_TIMEOUT, Found, Raster, Unusable, as_iso, read_header

ORDERS = ('first', 'newest')
RASTER_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in PICTURE_SUFFIXES)
TABLE_SUFFIXES = ('.parquet', '.geoparquet', '.gpkg', '.fgb', '.shp')
# Columns of a tile index that say where the raster is: gdaltindex calls it location.
LOCATION_COLUMNS = ('location', 'path', 'href', 'url', 'file')
DATE_COLUMNS = ('datetime', 'date', 'timestamp', 'acquired')
# How GDAL reads what lies elsewhere. By itself rasterio would want boto3 for S3; GDAL knows the usual settings
# (AWS_ACCESS_KEY_ID, AWS_NO_SIGN_REQUEST ...) too.
ELSEWHERE = {'https://': '/vsicurl/https://', 'http://': '/vsicurl/http://', 's3://': '/vsis3/', 'gs://': '/vsigs/',
             'az://': '/vsiaz/'}
OPENING_THREADS = 8  # what a raster elsewhere takes is waiting


class DateSources(NamedTuple):
    """All rasters of one date.

    Attributes:
        rasters: Rasters in order of priority: where several have data, the first is used.
        unusable: Files that cannot be used.
    """
    rasters: list[Raster]
    unusable: list[Unusable]


def find_rasters(label: str, inputs: Sequence[str], order: str = 'first', asset: str | None = None,
                 bands: Sequence[int] | None = None, clouds: CloudOptions | None = None) -> DateSources:
    """Find the rasters of one date and read their headers.

    Args:
        label: 'before' or 'after', for messages.
        inputs: Rasters, folders, globs, lists of paths (.txt), tile indexes (GeoJSON, GeoParquet, GeoPackage,
            FlatGeobuf, Shapefile), STAC items or item collections (JSON); all but folders and globs also by address.
        order: 'first': as they are named, folders by name; 'newest': by the time in the index, in the STAC item or in
            the TIFF's own header, else by that of the file.
        asset: Name of the asset of STAC items.
        bands: The numbers of the bands that will be read, or None.
        clouds: Band, values or asset of the cloud masks, or None.

    Raises:
        FileNotFoundError: If an input does not exist, or holds no raster.
        ValueError: If an input cannot be understood, or no raster can be used.
    """
    if order not in ORDERS:
        raise ValueError(f'order: expected one of {", ".join(ORDERS)}, got {order!r}')
    by_path: dict[str, Found] = {}
    for text in inputs:
        for item in _expand(str(text), asset, None if clouds is None else clouds.asset):
            by_path.setdefault(item.path, item)
    found = list(by_path.values())
    bare = [item.path for item in found if not item.cloud] if clouds is not None and clouds.asset is not None else []
    if bare:
        raise ValueError(f'--cloud-asset {clouds.asset}: is an asset of STAC items, and {bare[0]} comes from none. '
                         'Name the band of its mask with --cloud-band')
    with ThreadPoolExecutor(OPENING_THREADS) as pool:
        read = list(pool.map(lambda item: read_header(item, bands, clouds), found))
    rasters = [one for one in read if isinstance(one, Raster)]
    unusable = [one for one in read if isinstance(one, Unusable)]
    if not rasters:
        first = f': {unusable[0].path}: {unusable[0].reason}' if unusable else ''
        raise ValueError(f'--{label} {" ".join(map(str, inputs))}: none of {len(found)} rasters can be used{first}')
    if order == 'newest':
        rasters.sort(key=lambda one: one.date, reverse=True)  # ties stay in their order
    return DateSources(rasters, unusable)


def shared_rasters(before: DateSources, after: DateSources) -> list[str]:
    """The rasters that stand for both dates, between which nothing can change.

    Raises:
        ValueError: If they are all that one of the dates has.
    """
    names = [{one.path: os.path.realpath(one.path) for one in date.rasters} for date in (before, after)]
    shared = set(names[0].values()) & set(names[1].values())
    if shared and any(shared == set(date.values()) for date in names):
        raise ValueError(f'--before and --after name the same rasters, such as {min(shared)}; expected the earlier '
                         'images and the later ones')
    return sorted(path for path, real in names[1].items() if real in shared)


def _expand(text: str, asset: str | None, cloud: str | None) -> list[Found]:
    """The rasters that one input names."""
    if text.startswith(tuple(ELSEWHERE)) or text.startswith('/vsi'):
        return _expand_file(text, asset, cloud)
    if glob.has_magic(text) and not Path(text).exists():
        names = sorted(glob.glob(text, recursive=True))
        if not names:
            raise FileNotFoundError(f'{text}: no file has such a name')
        return [item for name in names for item in _expand_file(name, asset, cloud)]
    path = Path(text)
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise FileNotFoundError(f'{text} does not exist')
    return _expand_file(text, asset, cloud)


def _expand_file(text: str, asset: str | None, cloud: str | None) -> list[Found]:
    suffix = Path(text.split('?')[0]).suffix.lower()
    if suffix in ('.json', '.geojson') or (suffix == '' and text.startswith('http')):
        return _in_json(text, asset, cloud)
    if suffix in TABLE_SUFFIXES:
        return _in_table(text)
    if suffix == '.txt':
        lines = (line.strip() for line in _read_text(text).splitlines())
        return [Found(_locate(line, text)) for line in lines if line and not line.startswith('#')]
    return [Found(_locate(text, ''))]


def _in_folder(folder: Path) -> list[Found]:
    """The rasters in a folder and below, without results of this package; virtual ones only where there are no others,
    since they are made of these."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        if GRID in files:  # the results of a region
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        ours = own_outputs(Path(place))
        found += [Path(place) / name for name in sorted(files)
                  if name.lower().endswith(RASTER_SUFFIXES) and not is_clutter(name) and name not in ours]
    real = [path for path in found if path.suffix.lower() != '.vrt'] or found
    if not real:
        raise FileNotFoundError(f'{folder}: holds no raster ({", ".join(RASTER_SUFFIXES)}); what this package wrote '
                                'there does not count')
    return [Found(os.path.abspath(path)) for path in real]


def _in_json(text: str, asset: str | None, cloud: str | None) -> list[Found]:
    """A STAC item or item collection, or a tile index."""
    try:
        content = json.loads(_read_text(text))
    except ValueError as error:
        raise ValueError(f'{text}: is no JSON ({error}); expected a STAC item collection or a GeoJSON tile '
                         'index') from error
    features = content.get('features') if isinstance(content, dict) else None
    if features is None and isinstance(content, dict) and 'assets' in content and content.get('type') == 'Feature':
        features = [content]
    if not features:
        raise ValueError(f'{text}: has no features; expected a STAC item collection, a STAC item or a GeoJSON tile '
                         'index')
    if 'assets' in features[0]:
        return _in_stac(text, features, asset, cloud)
    return _from_columns(text, [feature.get('properties') or {} for feature in features])


def _in_stac(text: str, features: list[dict], asset: str | None, cloud: str | None) -> list[Found]:
    try:
        import pystac
    except ImportError as error:
        raise ImportError(f"reading {text} needs pystac: pip install 'mamba_cd_plugin[regions]' ({error})") from error
    found = []
    for feature in features:
        try:
            item = pystac.Item.from_dict(feature, preserve_dict=False)
        except Exception as error:  # pystac raises what its parsers do
            raise ValueError(f'{text}: item {feature.get("id")!r} is no STAC item ({error})') from error
        name = asset or _only_asset(text, item)
        for option, wanted in (('--asset', name), ('--cloud-asset', cloud)):
            if wanted is not None and wanted not in item.assets:
                raise ValueError(f'{text}: item {item.id} has no asset {wanted!r}, but {", ".join(item.assets)}. '
                                 f'Choose one with {option}')
        when = item.datetime or item.common_metadata.start_datetime
        base = item.get_self_href() or text
        found.append(Found(_locate(item.assets[name].href, base), '' if when is None else as_iso(when),
                            '' if cloud is None else _locate(item.assets[cloud].href, base)))
    return found


def _only_asset(text: str, item: Any) -> str:
    """The asset of a STAC item that is meant if none is named."""
    if 'visual' in item.assets:
        return 'visual'
    data = [name for name, one in item.assets.items() if 'data' in (one.roles or [])] or list(item.assets)
    if len(data) == 1:
        return data[0]
    raise ValueError(f'{text}: item {item.id} has the assets {", ".join(item.assets)}. Choose one with --asset')


def _in_table(text: str) -> list[Found]:
    try:
        import geopandas
    except ImportError as error:
        raise ImportError(f"reading {text} needs geopandas: pip install 'mamba_cd_plugin[regions]' "
                          f'({error})') from error
    is_parquet = 'parquet' in Path(text).suffix.lower()
    try:
        table = geopandas.read_parquet(text) if is_parquet else geopandas.read_file(_to_gdal(text))
    except Exception as error:  # pyarrow, pyogrio and fsspec have no common base
        raise ValueError(f'{text}: cannot be read as a tile index ({error})') from error
    return _from_columns(text, table.drop(columns=table.geometry.name).to_dict('records'))


def _from_columns(text: str, rows: list[dict]) -> list[Found]:
    names = {name.lower(): name for name in (rows[0] if rows else {})}
    where = next((names[name] for name in LOCATION_COLUMNS if name in names), None)
    if where is None:
        raise ValueError(f'{text}: is no tile index; expected a column {", ".join(LOCATION_COLUMNS[:-1])} or '
                         f'{LOCATION_COLUMNS[-1]} with the path of each raster, got {", ".join(names) or "none"}')
    when = next((names[name] for name in DATE_COLUMNS if name in names), None)
    return [Found(_locate(str(row[where]), text), '' if when is None else as_iso(row[when])) for row in rows]


def _locate(name: str, base: str) -> str:
    """A path or address that stands in a file, seen from here, as GDAL reads it."""
    name = re.sub(r'^file://', '', name)
    if name.startswith((*ELSEWHERE, '/vsi')):
        return _to_gdal(name)
    if base.startswith(tuple(ELSEWHERE)):
        return _to_gdal(urljoin(base, name))
    return os.path.abspath(Path(base).parent / name if base else name)  # a worker may be in another folder


def _to_gdal(text: str) -> str:
    return next((gdal + text[len(scheme):] for scheme, gdal in ELSEWHERE.items() if text.startswith(scheme)), text)


def _read_text(text: str) -> str:
    try:
        if text.startswith('http'):
            with urlopen(text, timeout=WEB_TIMEOUT) as answer:
                return answer.read().decode('utf-8')
        return Path(text).read_text('utf-8')
    except (URLError, OSError) as error:
        raise OSError(f'{text}: cannot be read ({error})') from error
