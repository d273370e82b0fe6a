"""Writes the files that the user asked for from the finished strips; they appear only when all are complete."""
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..io.files import OutputFolder, not_written, whole_file
from ..version import __version__
from .job import NODATA, PROBABILITY_STEPS, Spool, read_pair_summary, summary_path
from .overview import count_values, draw_overview
from .pairs import PairSource
from .vector_formats import VECTOR_FORMATS, VectorFormat, check_format

# Vermillion, as in the pictures of this package; unchanged ground is black and missing data transparent.
COLORMAP = {0: (0, 0, 0, 255), 1: (213, 94, 0, 255), NODATA: (0, 0, 0, 0)}
# The names of the bands.
MASK_BAND, PROBABILITY_BAND = 'changed: 0 no, 1 yes', 'probability of change'
# Fields of OutputOptions that say how polygons are made.
_POLYGON_OPTIONS = ('min_area', 'outline', 'split')
# Those of outlines.py, which needs an extra.
OUTLINE_CHOICES = ('pixels', 'simple', 'square')


class Result(NamedTuple):
    """What the files of a pair are made from.

    Attributes:
        source: The pair.
        mask: 0, 1 and nodata (H, W); lies on the disk.
        probability: (H, W), float32 or quantised; lies on the disk.
        options: Options of the user.
        files: Files written before this one, by the option that chose them; the mask is the first.
    """
    source: PairSource
    mask: np.ndarray
    probability: np.ndarray
    options: 'OutputOptions'
    files: dict[str, Path]


class OutputFormat(NamedTuple):
    """A kind of file that a prediction can leave. A record in :data:`FORMATS` is all that a new one needs.

    Attributes:
        option: The field of :class:`OutputOptions` that asks for it; 'mask' is always written.
        choice: The value of that field.
        raster: Whether it is for rasters (True), for pictures (False), or for both (None).
        suffix: Ending of the file name, behind the name of the pair.
        what: Description for ``--help`` and docs/predict.md.
        write: Writes the file; returns what the summary should say of it.
        check: Raises ValueError or ImportError where a pair cannot have this file, before anything is computed.
    """
    option: str
    choice: Any
    raster: bool | None
    suffix: str
    what: str
    write: Callable[[Path, Result], dict]
    check: Callable[[PairSource], None] = lambda source: None


class OutputOptions(NamedTuple):
    """Which files are written; the mask and the summary always are.

    Attributes:
        probability: 'none', 'uint8' (0..254 mean 0..1) or 'float32'.
        polygons: 'none', or a format of :data:`FORMATS`; only for rasters.
        min_area: Square metres below which a polygon is dropped (pixels without a CRS). Default 10: half a garage.
        outline: Kind of outlines: 'simple' straightens staircases of pixels by up to half a pixel, 'square' gives right
            angles to the building's main direction, 'pixels' keeps every step.
        split: A probability. A polygon that falls into several where only pixels of this probability and above are
            kept is parted between them; None parts nothing.
        overview: Whether to draw the overview picture.
    """
    probability: str = 'none'
    polygons: str = 'gpkg'
    min_area: float = 10.
    outline: str = 'simple'
    split: float | None = None
    overview: bool = True

    def check(self) -> 'OutputOptions':
        """The options themselves.

        Raises:
            ValueError: If one is unknown.
        """
        check_options(self, probability=choices('probability'), polygons=choices('polygons'))
        return self

    @classmethod
    def given(cls, options: Mapping[str, Any]) -> 'OutputOptions':
        """The options that a user gives, the others as they are by default.

        Raises:
            ValueError: If one is unknown, or has no effect beside another.
        """
        alone = [option for option in _POLYGON_OPTIONS if options.get(option) is not None]
        if alone and options.get('polygons') == 'none':
            raise ValueError(f'{_as_typed(options, alone)}: no effect with --polygons none. Leave out one of the '
                             f'two, or choose polygons: {", ".join(choices("polygons")[1:])}')
        return cls(**options).check()

    def formats(self, source: PairSource) -> list[OutputFormat]:
        """The files that a pair gets, in the order in which they are written."""
        return [record for record in FORMATS if record.raster in (None, source.is_raster)
                and (record.option == 'mask' or getattr(self, record.option) == record.choice)]

    @property
    def stored_probability(self) -> str:
        """How probabilities are stored during the run; the polygons need them too."""
        return 'float32' if self.probability == 'float32' else 'uint8'


def check_options(options: Any, **known: Sequence[str]) -> None:
    """Check how polygons are made, and options with a choice.

    Args:
        options: Has the attributes ``outline`` and ``split`` of :class:`OutputOptions`.
        **known: The values that other attributes of it can take.

    Raises:
        ValueError: If one has another value.
    """
    for option, values in (*known.items(), ('outline', OUTLINE_CHOICES)):
        if getattr(options, option) not in values:
            raise ValueError(f'{option}: expected one of {", ".join(values)}, got {getattr(options, option)!r}')
    if options.split is not None and not 0 < options.split < 1:
        raise ValueError(f'split: expected a probability between 0 and 1, got {options.split}. Choose one above the '
                         'threshold, such as 0.8')


def choices(option: str) -> list[str]:
    """The values that a field of :class:`OutputOptions` can take."""
    return list(dict.fromkeys(['none', *(record.choice for record in FORMATS if record.option == option)]))


def describe_choices(option: str) -> str:
    """What the values of an option give, for ``--help``."""
    return '; '.join(f'{record.choice}: {record.what}' for record in FORMATS
                     if record.option == option and record.raster is not False)


def format_table() -> str:
    """The table of docs/predict.md."""
    rows = [f'| `<name>{record.suffix}` | {_asked_by(record)} | {record.what} |' for record in FORMATS]
    return '\n'.join(['| file | option | content |', '|---|---|---|', *rows])


def _asked_by(record: OutputFormat) -> str:
    whose = {True: 'rasters', False: 'pictures', None: 'both'}[record.raster]
    if record.option == 'mask':
        return f'always ({whose})'
    default = OutputOptions._field_defaults[record.option] == record.choice
    argument = 'default; `--no-overview` leaves it out' if record.choice is True else (
        f'`--{record.option} {record.choice}`' + (', the default' if default else ''))
    return f'{argument} ({whose})'


def _as_typed(options: Mapping[str, Any], names: Sequence[str]) -> str:
    return ' and '.join(f'--{name.replace("_", "-")} {options[name]}' for name in names)


def check_outputs(out_dir: Path, source: PairSource, options: OutputOptions) -> None:
    """Make sure, before anything is computed, that the files of a pair can be written.

    Raises:
        ValueError: If a format cannot hold the pair.
        FileExistsError: If a file is there that this package did not make.
        ImportError: If a package is missing that a format needs.
    """
    # Not the format itself: one that somebody has registered may serve pictures too.
    alone = [option for option in _POLYGON_OPTIONS
             if getattr(options, option) != OutputOptions._field_defaults[option]]
    if alone and not source.is_raster:
        raise ValueError(f'{source.name}: {_as_typed(options._asdict(), alone)}: no effect on pictures such as PNG '
                         'and JPEG, which get no polygons. Leave it out, or predict rasters')
    records = options.formats(source)
    for record in records:
        record.check(source)
    names = [f'{source.name}{record.suffix}' for record in records]
    OutputFolder(out_dir, option='--out').refuse_foreign([*names, summary_path(out_dir, source.name).name])


def write_outputs(out_dir: Path, source: PairSource, spool: Spool, options: OutputOptions, job: Any) -> dict:
    """Write everything beside the strips, then move it into ``out_dir`` at once, and delete the strips.

    Files of an earlier run of the same pair that this one does not write anew are deleted: they would not belong to the
    new mask.

    Args:
        out_dir: The folder of the results.
        source: The pair.
        spool: Holds the complete strips.
        options: Choice of files.
        job: Stored in the summary, see :func:`~.job.complete_summary`.

    Returns:
        The summary.

    Raises:
        OSError: If a file cannot be written completely.
        ValueError: If no pixel has data in both images.
    """
    result = Result(source, spool.open('mask'), spool.open('probability'), options, {})
    counts = count_values(result.mask)
    if counts[NODATA] == result.mask.size:
        spool.remove()
        raise ValueError(f'{source.files}: no pixel has data in both images; check their nodata values, their alpha '
                         'channels and whether they show the same place')
    summary = dict(
        name=source.name, version=__version__, pixels=int(counts[0] + counts[1]), changed_pixels=int(counts[1]),
        nodata_pixels=int(counts[NODATA]), notes=source.notes)
    for record in options.formats(source):
        path = spool.folder / f'{source.name}{record.suffix}'
        path.unlink(missing_ok=True)  # of a run that was killed here; a GeoPackage would be added to
        summary.update(record.write(path, result))
        result.files[record.option] = path
    summary.update(files=[path.name for path in result.files.values()], job=json.loads(json.dumps(job)))
    _publish(out_dir, summary, list(result.files.values()))
    spool.remove()
    return summary


def _publish(out_dir: Path, summary: dict, paths: list[Path]) -> None:
    """Give the finished files their final names, the summary last: if it exists, all files do."""
    final = summary_path(out_dir, summary['name'])
    earlier = read_pair_summary(out_dir, summary['name']) or dict(files=[])
    outputs = OutputFolder(out_dir, option='--out')
    outputs.claim([*summary['files'], final.name])
    final.unlink(missing_ok=True)  # it says that all is complete, and now it is not
    for path in paths:
        os.replace(path, out_dir / path.name)
    for name in set(earlier['files']) - set(summary['files']):
        (out_dir / Path(name).name).unlink(missing_ok=True)
    with whole_file(final) as part:
        part.write_text(json.dumps(summary, indent=1, ensure_ascii=False), 'utf-8')
    outputs.sign([*summary['files'], final.name])


def _write_mask_raster(path: Path, result: Result) -> dict:
    from ..io.rasters import write_band
    write_band(path, result.mask, result.source, MASK_BAND, nodata=NODATA, colormap=COLORMAP)
    return {}


def _write_mask_picture(path: Path, result: Result) -> dict:
    write_picture(path, _grey((result.mask == 1).astype(np.uint8) * 255, result.mask != NODATA))
    return {}


def _write_probability_raster(path: Path, result: Result) -> dict:
    from ..io.rasters import write_band
    write_band(path, result.probability, result.source, PROBABILITY_BAND, **probability_encoding(result.probability))
    return {}


def probability_encoding(probability: np.ndarray) -> dict[str, Any]:
    """Arguments of ``write_band`` for probabilities as they are stored, float32 or quantised."""
    if probability.dtype == np.float32:
        return dict(nodata=float('nan'), predictor=3)
    return dict(nodata=NODATA, scale=1 / PROBABILITY_STEPS, predictor=2)


def _write_probability_picture(path: Path, result: Result) -> dict:
    scale = 255 / (PROBABILITY_STEPS if result.probability.dtype == np.uint8 else 1)
    valid = result.mask != NODATA
    write_picture(path, _grey((np.where(valid, result.probability, 0) * scale + 0.5).astype(np.uint8), valid))
    return {}


def _write_polygons(path: Path, result: Result, record: VectorFormat) -> dict:
    from .polygons import vectorize
    from .vectors import write_polygons
    options = result.options
    polygons = vectorize(result.files['mask'], result.probability, options.min_area, options.outline, options.split)
    newest = max(result.source.origin[key]['mtime_ns'] for key in 'ab') / 1e9  # when what is shown last changed
    write_polygons(polygons, path, record, f'{datetime.fromtimestamp(newest, timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}')
    area = polygons.columns[1]
    return {'polygons': len(polygons), f'changed_{area}': round(float(polygons[area].sum()), 2)}


def _check_polygons(source: PairSource, record: VectorFormat) -> None:
    check_format(record, source.name, source.crs)


def _write_overview(path: Path, result: Result) -> dict:
    write_picture(path, draw_overview(result.source, result.mask))
    return {}


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
        raise not_written(path, error) from error


def _describe_polygons(record: VectorFormat) -> str:
    if record is not VECTOR_FORMATS[0]:
        return f'the same as {record.what}'
    return f"{record.what}, in A's CRS: `id` (1 is the largest), `area_m2`, `mean_probability`"


FORMATS = [
    OutputFormat('mask', None, True, '_mask.tif', "0 unchanged, 1 changed, 255 nodata; A's CRS, transform and size; "
                 'tiled, deflate, with a colour table', _write_mask_raster),
    OutputFormat('mask', None, False, '_mask.png', '0 unchanged, 255 changed, transparent where an image has no data',
                 _write_mask_picture),
    OutputFormat('probability', 'uint8', True, '_probability.tif', '0..254 mean 0..1, with the scale in the header; '
                 '255 nodata', _write_probability_raster),
    OutputFormat('probability', 'float32', True, '_probability.tif', '0..1, NaN nodata', _write_probability_raster),
    OutputFormat('probability', 'uint8', False, '_probability.png', '0..255 mean 0..1', _write_probability_picture),
    OutputFormat('probability', 'float32', False, '_probability.png', '0..255 mean 0..1', _write_probability_picture),
    *(OutputFormat('polygons', record.choice, True, f'_polygons.{record.choice}', _describe_polygons(record),
                   partial(_write_polygons, record=record), partial(_check_polygons, record=record))
      for record in VECTOR_FORMATS),
    OutputFormat('overview', True, None, '_overview.png', 'A, B, the mask, and the mask over B, small enough for a '
                 'screen', _write_overview),
]
