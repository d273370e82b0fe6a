"""From a folder of blocks to the files of the region: polygons, virtual rasters, a STAC item, a map and a summary."""
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import shapely
from mmengine.logging import print_log
from pyproj import CRS

from ..inference.geoparquet import convert, parquet_sink
from ..inference.outputs import check_options
from ..inference.pairs import PairSource
from ..inference.polygons import PolygonGrid, select_polygons, tabulate
from ..inference.vector_formats import LAYER, VECTOR_FORMATS, VectorFormat, check_format, vector_format
from ..io.files import OutputFolder, own_outputs
from ..io.grids import map_points
from ..version import __version__
from .catalog import Asset, stac_item, write_vrt
from .grid import MANIFEST, MASK, PROBABILITY, RegionGrid, block_folder, block_name, finished_blocks
from .merge import first_pixels, merge_blocks, read_block
from .page import ChangeCollector, Changes, why_no_page, write_page
from .shift import WORTH_SAYING, describe_shift, sum_up_blocks
from .zones import Zones

SUMMARY, ITEM, PAGE = 'summary.json', 'item.json', 'index.html'
FILES = (SUMMARY, ITEM, PAGE, 'mask.vrt', 'probability.vrt', *(f'{LAYER}.{record.choice}' for record in VECTOR_FORMATS))
COUNTS = ('pixels', 'changed_pixels', 'nodata_pixels')  # of a block's manifest, added up for the summary
NO_PROBABILITY = '--split needs the probability of every block, and some have none. Run with --probability uint8'
Block = tuple[int, int]


class FinishOptions(NamedTuple):
    """Which files of the region are made, and how.

    Attributes:
        polygons: 'parquet', or another of :data:`~..inference.vector_formats.VECTOR_FORMATS` in addition.
        min_area, outline, split: How polygons are made, see :class:`~..inference.outputs.OutputOptions`.
        zones: A file of polygons; changes are summed up for each of them.
        zone_name: The column that holds the names of the zones, see :class:`~.zones.Zones`.
        page: Whether to draw a map, where the region fits into one.
    """
    polygons: str = 'parquet'
    min_area: float = 10.
    outline: str = 'simple'
    split: float | None = None
    zones: str | None = None
    zone_name: str | None = None
    page: bool = True

    def check(self) -> 'FinishOptions':
        """The options themselves.

        Raises:
            ValueError: If one is unknown.
        """
        check_options(self, polygons=[record.choice for record in VECTOR_FORMATS])
        return self

    def check_alone(self, probability: str) -> None:
        """Make sure, before any raster is looked at, that the options fit together.

        Args:
            probability: How blocks store the probability: 'none', 'uint8' or 'float32'.

        Raises:
            ValueError, FileNotFoundError: If they do not, or the zones are not there.
        """
        if self.check().split is not None and probability == 'none':
            raise ValueError(NO_PROBABILITY)
        if self.zones is None and self.zone_name is not None:
            raise ValueError(f'--zone-name {self.zone_name}: expected --zones with it, the file with that column')
        if self.zones is not None and not Path(self.zones).is_file():
            raise FileNotFoundError(f'--zones {self.zones} does not exist')

    def check_region(self, out: Path, grid: RegionGrid, probability: str) -> None:
        """Make sure, before anything is predicted, that a region can have its files.

        Args:
            out: The folder of the results.
            grid: Grid of the region.
            probability: How blocks store the probability: 'none', 'uint8' or 'float32'.

        Raises:
            ValueError: If it cannot.
            FileNotFoundError: If the zones are not there.
            FileExistsError: If a file is there that this package did not make.
        """
        self.check_alone(probability)
        check_format(vector_format(self.polygons), 'the region', grid.rasterio_crs)
        self.read_zones(grid)
        OutputFolder(out, option='--out').refuse_foreign(FILES)

    def read_zones(self, grid: RegionGrid) -> Zones | None:
        """The zones, if there are any."""
        if self.zones is None:
            return None
        if not grid.crs:
            raise ValueError('--zones: the rasters have no CRS, so it cannot be known where the zones lie')
        return Zones(Path(self.zones), grid, self.zone_name)


class RegionFacts(NamedTuple):
    """Facts about the region that the blocks do not store.

    Attributes:
        planned: All blocks of the plan; None for the finished ones.
        finished: Blocks that are finished and match the plan; None for all finished ones.
        failed: Blocks that could not be made, with the reason.
        gaps: Blocks that were not planned, by the reason.
        left_out: Rasters that could not be used: ``path`` and ``reason``.
        dates: Dates of the first and of the last image; None if unknown.
        weights: Name of the weights, as the user gave it.
        measure_shift: Measures the shift between the dates, as ``summary.json`` stores it. Called only if files are
            made and the manifests of the blocks have no shift.
    """
    planned: Sequence[Block] | None = None
    finished: Sequence[Block] | None = None
    failed: Mapping[Block, str] = {}
    gaps: Mapping[str, Sequence[Block]] = {}
    left_out: Sequence[Mapping[str, str]] = ()
    dates: tuple[datetime, datetime] | None = None
    weights: str = ''
    measure_shift: Callable[[], dict] | None = None


def finish(out: Path, options: FinishOptions | None = None, facts: RegionFacts | None = None,
           open_source: Callable[[], PairSource] | None = None) -> dict:
    """Make the files of a region from its blocks. Where they are there, made from the same blocks, nothing is done.

    Every file is put in place whole, the summary last: where it is, everything is.

    Args:
        out: The folder of the results.
        options: Which files are made, and how.
        facts: Facts that the blocks do not store.
        open_source: Opens the images on the grid of the region, for the map.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        ValueError: If the folder is no region's, or an option cannot be had from its blocks.
        FileExistsError: If a file is there that this package did not make.
        OSError: If something cannot be read or written.
    """
    return _Finish(out, (options or FinishOptions()).check(), facts or RegionFacts(), open_source).run()


class _Finish:
    """The steps of :func:`finish`, and what they share."""

    def __init__(self, out: Path, options: FinishOptions, facts: RegionFacts,
                 open_source: Callable[[], PairSource] | None) -> None:
        self.out, self.options, self.facts, self.open_source = out, options, facts, open_source
        grid = RegionGrid.load(out)
        if grid is None:
            raise ValueError(f'{out}: holds no blocks of a region. Run mamba-cd mosaic first')
        there = finished_blocks(out) if facts.finished is None else sorted(facts.finished)
        if facts.planned is not None:  # others are of an earlier plan
            planned = set(facts.planned)
            there = [block for block in there if block in planned]
        self.grid, self.blocks = grid, there
        self.crs = CRS.from_wkt(grid.crs) if grid.crs else None
        self.polygon_grid = PolygonGrid(grid.affine, self.crs)
        self.has_probability = all((block_folder(out, *block) / PROBABILITY).is_file() for block in there)
        if options.split is not None and not self.has_probability:
            raise ValueError(NO_PROBABILITY)
        self.zones = options.read_zones(grid)
        # The first is written as polygons come, the other from it.
        self.formats = [vector_format(choice) for choice in dict.fromkeys(('parquet', options.polygons))]
        self.collector = ChangeCollector()
        self.outputs = OutputFolder(out, option='--out')

    def run(self) -> dict:
        """All files."""
        manifests = [self._read_manifest(block) for block in self.blocks]
        digest = self._digest(manifests)
        earlier = read_summary(self.out)
        if earlier is not None and earlier['digest'] == digest and all(
                (self.out / name).is_file() for name in earlier['files']):
            print_log(f'{self.out}: the files of the region are there already', 'current')
            return earlier
        if not self.blocks:
            return self._write_summary(manifests, {}, [], digest)
        no_page = why_no_page(self.grid) if self.options.page else 'it was not asked for'
        names = ['mask.vrt', *(['probability.vrt'] if self.has_probability else []),
                 *map(_file_name, self.formats), *([] if no_page else [PAGE]),
                 *([] if self.facts.dates is None else [ITEM])]
        self.outputs.claim([*names, SUMMARY])
        (self.out / SUMMARY).unlink(missing_ok=True)  # it says that all is complete, and now it is not
        self._write_vrts()
        totals = {**self._shift(manifests), **self._write_polygons()}
        if not no_page:
            self._write_page(totals)
        elif self.options.page:
            print_log(f'no map: {no_page}', 'current')
            totals['no_page'] = no_page
        if self.zones is not None:
            totals.update(zones=self.zones.result(), outside_zones=self.zones.outside())
        if self.facts.dates is not None:
            self._write_item(names, totals, manifests)
        # Of earlier options, also of a run that was killed.
        for name in own_outputs(self.out) & set(FILES) - set(names):
            (self.out / name).unlink()
        return self._write_summary(manifests, totals, names, digest)

    def _write_summary(self, manifests: list[dict], totals: dict, names: list[str], digest: str) -> dict:
        facts = self.facts
        planned = self.blocks if facts.planned is None else facts.planned
        summary = dict(
            name=self.out.resolve().name, version=__version__, blocks=len(planned), blocks_done=len(self.blocks),
            **_count(manifests), **totals,
            failed=[dict(block=block_name(*block), reason=reason) for block, reason in sorted(facts.failed.items())],
            gaps={reason: [block_name(*block) for block in blocks] for reason, blocks in facts.gaps.items()},
            left_out=list(map(dict, facts.left_out)), grid=dict(asdict(self.grid), transform=list(self.grid.transform)),
            model=self._model(manifests), files=names, digest=digest)
        with self.outputs.write(SUMMARY) as part:
            part.write_text(json.dumps(summary, indent=1, ensure_ascii=False), 'utf-8')
        return summary

    def _read_manifest(self, block: Block) -> dict:
        """The entries of a manifest that are needed; complete manifests of 100,000 blocks would take gigabytes."""
        content = json.loads((block_folder(self.out, *block) / MANIFEST).read_text('utf-8'))
        kept = {key: content[key] for key in ('digest', *COUNTS, 'shift') if key in content}
        return dict(kept, job=content.get('job', {})) if block == self.blocks[0] else kept

    def _digest(self, manifests: list[dict]) -> str:
        zones = None
        if self.options.zones is not None:
            zones = sha256(Path(self.options.zones).read_bytes()).hexdigest()
        facts = self.facts
        content = [__version__, [one['digest'] for one in manifests], self.blocks, self.options, zones,
                   sorted((*block, reason) for block, reason in facts.failed.items()),
                   sorted((reason, sorted(blocks)) for reason, blocks in facts.gaps.items()),
                   facts.planned, facts.left_out, facts.dates, facts.weights, self.open_source is not None]
        return sha256(json.dumps(content, default=str).encode()).hexdigest()

    def _shift(self, manifests: list[dict]) -> dict:
        """The shift between the dates for the summary; it is also logged."""
        moves = {block: one['shift'] for block, one in zip(self.blocks, manifests) if 'shift' in one}
        if not moves and self.facts.measure_shift is None:
            return {}
        found = sum_up_blocks(moves) if moves else self.facts.measure_shift()
        print_log(describe_shift(found), 'current',
                  logging.WARNING if not moves and found.get('largest', 0) >= WORTH_SAYING else logging.INFO)
        return dict(shift=found)

    def _write_vrts(self) -> None:
        for name in (MASK, PROBABILITY) if self.has_probability else (MASK, ):
            with self.outputs.write(Path(name).with_suffix('.vrt').name) as part:
                write_vrt(part, self.out, self.grid, self.blocks, name)

    def _write_polygons(self) -> dict:
        """Merge, finish and write all polygons."""
        count, total, column = 0, 0., self.polygon_grid.area_column
        with ExitStack() as stack:
            read = None
            if self.options.split is not None:
                probability = stack.enter_context(rasterio.open(self.out / 'probability.vrt'))

                def read(rows: slice, columns: slice) -> np.ndarray:
                    window = ((rows.start, rows.stop), (columns.start, columns.stop))
                    return probability.read(1, window=window)

            part = stack.enter_context(self.outputs.write(_file_name(self.formats[0])))
            with parquet_sink(part, self.polygon_grid) as sink:
                for merged in merge_blocks(self.grid, self.blocks, partial(read_block, self.out, self.grid)):
                    polygons, areas = select_polygons(merged, self.polygon_grid, self.options.min_area,
                                                      self.options.split, read)
                    ids = first_pixels(self.grid, polygons.shapes)
                    table = tabulate(ids, polygons, areas, self.polygon_grid, self.options.outline)
                    sink.add(table)
                    self._collect(table)
                    count, total = count + len(table), total + float(table[column].sum())
        newest = datetime.fromtimestamp(0, timezone.utc) if self.facts.dates is None else self.facts.dates[1]
        for record in self.formats[1:]:
            with self.outputs.write(_file_name(record)) as part:
                part.unlink(missing_ok=True)  # of a run that was killed; a GeoPackage would be added to
                convert(self.out / _file_name(self.formats[0]), part, record, self.polygon_grid,
                        f'{newest.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}')
        return {'polygons': count, f'changed_{column}': round(total, 2)}

    def _collect(self, table: Any) -> None:
        areas, shapes = table[self.polygon_grid.area_column].to_numpy(), table.geometry.to_numpy()
        if self.zones is not None:
            self.zones.add(shapes, areas)
        pixels = shapely.transform(shapes, partial(map_points, ~self.grid.affine))
        self.collector.add(Changes(table['id'].to_numpy(), areas, table['mean_probability'].to_numpy(), pixels))

    def _model(self, manifests: list[dict]) -> dict:
        job = manifests[0].get('job', {}) if manifests else {}
        kept = ('model', 'options', 'reading', 'clouds', 'move_b')
        return dict(weights=self.facts.weights, **{key: job[key] for key in kept if key in job})

    def _write_item(self, names: list[str], totals: dict, manifests: list[dict]) -> None:
        titles = {'mask.vrt': ('mask', 'Changed pixels: 0 no, 1 yes, 255 nodata', 'application/xml', ('data', )),
                  'probability.vrt': ('probability', 'Probability of change', 'application/xml', ('data', )),
                  PAGE: ('map', 'Map of both dates and the changes', 'text/html', ('overview', ))}
        titles.update({_file_name(record): (record.choice, 'Changes as polygons', record.media_type, ('data', ))
                       for record in self.formats})
        assets = [Asset(key, f'./{name}', title, kind, roles) for name, (key, title, kind, roles) in titles.items()
                  if name in names]
        assets.append(Asset('summary', f'./{SUMMARY}', 'Totals, gaps and settings', 'application/json',
                            ('metadata', )))
        kept = dict(_count(manifests), **{key: value for key, value in totals.items()
                                          if key in ('polygons', f'changed_{self.polygon_grid.area_column}')})
        item = stac_item(self.out.resolve().name, self.grid, self.facts.dates, assets, kept, self._model(manifests))
        with self.outputs.write(ITEM) as part:
            part.write_text(json.dumps(item.to_dict(include_self_link=False), indent=1, ensure_ascii=False), 'utf-8')

    def _write_page(self, totals: dict) -> None:
        area = totals.get('changed_area_m2')
        words = f'{totals["polygons"]:,} changes' + ('' if area is None else f' of {area:,.0f} m²')
        there = set(self.blocks)
        missing = [block for block in (self.facts.planned or ()) if block not in there]
        missing += [block for blocks in self.facts.gaps.values() for block in blocks]
        dates = [] if self.facts.dates is None else [f'{date:%Y-%m-%d}' for date in self.facts.dates]
        if len(set(dates)) < 2:  # of files that were written on one day, which says nothing about the images
            dates = []
        with ExitStack() as stack:
            source = None if self.open_source is None else stack.enter_context(self.open_source())
            part = stack.enter_context(self.outputs.write(PAGE))
            write_page(part, f'Changes: {self.out.resolve().name}', self.grid, self.collector, source, missing, dates,
                       f'{words}, {self.grid.width:,} x {self.grid.height:,} px')


def _file_name(record: VectorFormat) -> str:
    return f'{LAYER}.{record.choice}'


def _count(manifests: list[dict]) -> dict:
    return {key: sum(one[key] for one in manifests) for key in COUNTS}


def read_summary(out: Path) -> dict | None:
    """The summary of an earlier run; None where there is none that can be read."""
    try:
        summary = json.loads((out / SUMMARY).read_text('utf-8'))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and {'files', 'digest'} <= set(summary) else None
