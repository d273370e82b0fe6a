"""From the finished strips to the files that the user asked for, which appear only when all are complete."""
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from PIL import Image

from ..io.files import OutputFolder
from ..version import __version__
from .job import NODATA, PROBABILITY_STEPS, Spool, write_whole
from .overview import count_values, draw_overview
from .pairs import PairSource

# Vermillion, as in the pictures of this package; unchanged ground is black and missing data transparent.
COLORMAP = {0: (0, 0, 0, 255), 1: (213, 94, 0, 255), NODATA: (0, 0, 0, 0)}
POLYGON_SUFFIXES = dict(gpkg='.gpkg', geojson='.geojson')


class OutputOptions(NamedTuple):
    """Which files are written; the mask and the summary always are.

    Attributes:
        probability: 'none', 'uint8' (0..254 mean 0..1) or 'float32'.
        polygons: 'none', 'gpkg' or 'geojson'; only for rasters.
        min_area: Square metres below which a polygon is dropped (pixels without a CRS). Default 10: half a garage.
        overview: Whether to draw the overview picture.
    """
    probability: str = 'none'
    polygons: str = 'gpkg'
    min_area: float = 10.
    overview: bool = True

    def check(self) -> 'OutputOptions':
        """The options themselves.

        Raises:
            ValueError: If one is unknown.
        """
        for key, known in (('probability', ('none', 'uint8', 'float32')), ('polygons', ('none', *POLYGON_SUFFIXES))):
            if getattr(self, key) not in known:
                raise ValueError(f'{key}: expected one of {", ".join(known)}, got {getattr(self, key)!r}')
        return self

    @property
    def stored_probability(self) -> str:
        """How probabilities are kept while the run lasts; the polygons need them too."""
        return 'float32' if self.probability == 'float32' else 'uint8'


def summary_path(out_dir: Path, name: str) -> Path:
    """Where the summary of a pair lies. It is written last: where it is, everything is."""
    return out_dir / f'{name}_summary.json'


def complete_summary(out_dir: Path, name: str, job: Any) -> Optional[dict]:
    """The summary of an earlier run of just this job, if all its files are still there."""
    summary = _read_summary(out_dir, name)
    same = summary is not None and summary.get('job') == json.loads(json.dumps(job))
    return summary if same and all((out_dir / file).is_file() for file in summary['files']) else None


def _read_summary(out_dir: Path, name: str) -> Optional[dict]:
    try:
        summary = json.loads(summary_path(out_dir, name).read_text('utf-8'))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and 'files' in summary else None


def write_outputs(out_dir: Path, source: PairSource, spool: Spool, options: OutputOptions, job: Any) -> dict:
    """Write everything beside the strips, then move it into ``out_dir`` at once, and delete the strips.

    Files of an earlier run of the same pair that this one does not write anew are deleted: they would not belong to the
    new mask.

    Args:
        out_dir: The folder of the results.
        source: The pair.
        spool: Holds the complete strips.
        options: Which files.
        job: Stored in the summary, see :func:`complete_summary`.

    Returns:
        The summary.

    Raises:
        OSError: If a file cannot be written completely.
        ValueError: If no pixel has data in both images.
    """
    mask, probability = spool.open('mask'), spool.open('probability')
    counts = count_values(mask)
    if counts[NODATA] == mask.size:
        spool.remove()
        raise ValueError(f'{source.name}: no pixel has data in both images; check their nodata values, their alpha '
                         'channels and whether they show the same place')
    write = _write_raster if source.is_raster else _write_picture
    files = write(spool.folder, source, mask, probability, options)
    summary = dict(
        name=source.name, version=__version__, pixels=int(counts[0] + counts[1]), changed_pixels=int(counts[1]),
        nodata_pixels=int(counts[NODATA]), notes=source.notes, **files.pop('statistics', {}))
    if options.overview:
        files['overview'] = spool.folder / f'{source.name}_overview.png'
        write_picture(files['overview'], draw_overview(source, mask))
    earlier = _read_summary(out_dir, source.name) or dict(files=[])
    names = [path.name for path in files.values()] + [summary_path(out_dir, source.name).name]
    outputs = OutputFolder(out_dir, option='--out')
    outputs.claim(names)
    stale = set(earlier['files']) - {path.name for path in files.values()}
    summary_path(out_dir, source.name).unlink(missing_ok=True)  # it says that all is complete, and now it is not
    for path in files.values():
        os.replace(path, out_dir / path.name)
    for name in stale:
        (out_dir / Path(name).name).unlink(missing_ok=True)
    summary.update(files=[path.name for path in files.values()], job=json.loads(json.dumps(job)))
    write_whole(summary_path(out_dir, source.name), json.dumps(summary, indent=1, ensure_ascii=False))
    outputs.sign(names)
    spool.remove()
    return summary


def _write_raster(folder: Path, source: PairSource, mask: np.ndarray, probability: np.ndarray,
                  options: OutputOptions) -> dict:
    from ..io.rasters import write_band
    files: dict = dict(mask=folder / f'{source.name}_mask.tif')
    write_band(files['mask'], mask, source, 'changed: 0 no, 1 yes', nodata=NODATA, colormap=COLORMAP)
    if options.probability != 'none':
        files['probability'] = folder / f'{source.name}_probability.tif'
        stored = dict(nodata=float('nan'), predictor=3) if probability.dtype == np.float32 else dict(
            nodata=NODATA, scale=1 / PROBABILITY_STEPS, predictor=2)
        write_band(files['probability'], probability, source, 'probability of change', **stored)
    if options.polygons != 'none':
        from .polygons import vectorize, write_polygons
        polygons = vectorize(files['mask'], probability, options.min_area)
        files['polygons'] = folder / f'{source.name}_polygons{POLYGON_SUFFIXES[options.polygons]}'
        files['polygons'].unlink(missing_ok=True)  # of a run that was killed here; a GeoPackage would be added to
        write_polygons(polygons, files['polygons'], _date(source))
        area = polygons.columns[1]
        files['statistics'] = {'polygons': len(polygons), f'changed_{area}': round(float(polygons[area].sum()), 2)}
    return files


def _write_picture(folder: Path, source: PairSource, mask: np.ndarray, probability: np.ndarray,
                   options: OutputOptions) -> dict:
    """Of pictures, mask and probability are pictures too, for the eye: 0..255, and transparent where no data are."""
    files = dict(mask=folder / f'{source.name}_mask.png')
    valid = mask != NODATA
    write_picture(files['mask'], _grey((mask == 1).astype(np.uint8) * 255, valid))
    if options.probability != 'none':
        scale = 255 / (PROBABILITY_STEPS if probability.dtype == np.uint8 else 1)
        files['probability'] = folder / f'{source.name}_probability.png'
        values = np.where(valid, probability, 0) * scale + 0.5
        write_picture(files['probability'], _grey(values.astype(np.uint8), valid))
    return files


def _grey(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A grey picture, with an alpha channel if it is needed."""
    return values if valid.all() else np.dstack([values, valid.astype(np.uint8) * 255])


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a PNG: grey (H, W), grey with alpha (H, W, 2), or RGB (H, W, 3).

    Raises:
        OSError: If it cannot be written.
    """
    try:
        Image.fromarray(picture).save(path)
    except OSError as error:
        raise OSError(f'{path}: could not be written ({error}). Is the disk full?') from error


def _date(source: PairSource) -> str:
    """The newer of the two images' file times: when what is shown last changed."""
    newest = max(source.origin[key]['mtime_ns'] for key in 'ab') / 1e9
    return datetime.fromtimestamp(newest, timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.000Z')
