"""One HTML file to look at a region: both dates with a slider between them, the changes, and the most telling ones.

Everything is inside the file, so that it opens from a disk and can be sent by mail.
"""
import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from ..inference.pairs import PairSource, Span, Window
from ..inference.polygons import PolygonGrid
from ..io.grids import describe_crs
from .grid import RegionGrid

TEMPLATES = Path(__file__).parent / 'templates'
# Longer side of the two pictures: at 9 million pixels a JPEG has some 2 MB, and browsers draw it at once.
SIDE = 3000
QUALITY = 80
# Beyond this a house of 10 m at 0.5 m is less than two pixels of the picture, and one looks in vain.
LARGEST_SIDE = 30_000
# More changes make a browser slow; the largest are drawn.
DRAWN = 20_000
LISTED = 25
# Sides of the cuttings at full resolution: as shown, the smallest and the largest that is cut out, in pixels.
CUTTING, SMALLEST_CUTTING, LARGEST_CUTTING = 320, 96, 2048


class Changes(NamedTuple):
    """Changes to show.

    Attributes:
        ids: (N,).
        areas: Areas in the unit of the grid, (N,).
        probabilities: Means, (N,).
        shapes: Outlines in (column, row) of the region, (N,).
    """
    ids: np.ndarray
    areas: np.ndarray
    probabilities: np.ndarray
    shapes: np.ndarray

    def take(self, chosen: np.ndarray) -> 'Changes':
        """Some of them."""
        return Changes(*(values[chosen] for values in self))


class ChangeCollector:
    """Keeps the largest and the least certain of any number of changes, and counts all."""

    def __init__(self) -> None:
        empty = np.zeros(0)
        self.largest = self.least_certain = Changes(empty.astype(np.int64), empty, empty, np.zeros(0, object))
        self.count = 0

    def add(self, changes: Changes) -> None:
        """Take changes."""
        self.count += len(changes.ids)
        both = [Changes(*map(np.concatenate, zip(kept, changes))) for kept in (self.largest, self.least_certain)]
        self.largest = both[0].take(np.lexsort((both[0].ids, -both[0].areas))[:DRAWN])
        self.least_certain = both[1].take(np.lexsort((both[1].ids, both[1].probabilities))[:LISTED])

    def shown(self) -> tuple[Changes, list[int], list[int]]:
        """The changes that are drawn, and where the largest and the least certain are among them."""
        extra = ~np.isin(self.least_certain.ids, self.largest.ids)
        changes = Changes(*map(np.concatenate, zip(self.largest, self.least_certain.take(extra))))
        place = {number: i for i, number in enumerate(changes.ids.tolist())}
        return (changes, [place[number] for number in self.largest.ids[:LISTED].tolist()],
                [place[number] for number in self.least_certain.ids.tolist()])


def why_no_page(grid: RegionGrid) -> str:
    """Why a region gets no page; '' where it gets one."""
    side = max(grid.height, grid.width)
    if side <= LARGEST_SIDE:
        return ''
    return (f'the region has {side:,} px along its longer side, and a map in one file shows no houses beyond '
            f'{LARGEST_SIDE:,}; open mask.vrt and changes.parquet in QGIS')


def write_page(path: Path, title: str, grid: RegionGrid, collector: ChangeCollector, source: PairSource | None,
               missing: Sequence[tuple[int, int]] = (), dates: Sequence[str] = (), facts: str = '') -> None:
    """Write the page.

    Args:
        path: Path of the file.
        title: Title of the page.
        grid: Grid of the region.
        collector: Holds the changes.
        source: The pair on the grid of the region; None: only outlines are shown.
        missing: Blocks without a result.
        dates: Dates of both images as text; empty if unknown.
        facts: Text beside the title.

    Raises:
        OSError: If the images cannot be read or the page cannot be written.
    """
    changes, largest, least_certain = collector.shown()
    factor = math.ceil(max(grid.height, grid.width) / SIDE)
    pictures = [''] * 2 if source is None else _pictures(source, factor)
    listed = sorted({*largest, *least_certain}) if source is not None else []
    vector_grid = PolygonGrid(grid.affine, None)
    unit = 'px' if grid.rasterio_crs is None else 'm²'
    data = dict(
        size=[grid.width, grid.height], factor=factor, before=pictures[0], after=pictures[1],
        transform=list(vector_grid.transform)[:6], crs='pixels' if grid.rasterio_crs is None else describe_crs(
            grid.rasterio_crs), digits=5 if grid.rasterio_crs is not None and grid.rasterio_crs.is_geographic else 1,
        unit=unit, missing=[_box(grid.window(*block)) for block in missing],
        crops={i: _cutting(source, changes.shapes[i]) for i in listed},
        changes=[dict(id=int(number), area=float(area), probability=float(probability), rings=_rings(shape),
                      box=_rounded(shape.bounds)) for number, area, probability, shape in zip(*changes)])
    lists = [dict(title=name, what=what, rows=[dict(
        index=i, id=int(changes.ids[i]), area=f'{changes.areas[i]:,.0f}',
        probability=f'{changes.probabilities[i]:.3f}') for i in numbers])
        for name, what, numbers in (
            ('Largest', 'By area.', largest),
            ('Least certain', 'By the mean probability of their pixels; the first to check by eye.', least_certain))]
    text = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True).get_template(
        'map.html').render(title=title, facts=facts, notes=_notes(grid, factor, collector, source, missing),
                           dates=list(dates), unit=unit, lists=lists, data=data)
    path.write_text(text, 'utf-8')


def _notes(grid: RegionGrid, factor: int, collector: ChangeCollector, source: PairSource | None,
           missing: Sequence[tuple[int, int]]) -> list[str]:
    """Text about changes that the page leaves out."""
    notes = []
    if source is None:
        notes.append('The images could not be read when this page was made: only outlines are shown.')
    elif factor > 1:
        notes.append(f'The map is scaled down: 1 px of it is {factor} x {factor} px of the images. The listed changes '
                     'are shown at full resolution when selected.')
    if collector.count > DRAWN:
        notes.append(f'Of {collector.count:,} changes the {DRAWN:,} largest are drawn; changes.parquet has all.')
    if missing:
        notes.append(f'{len(missing):,} blocks have no result and are grey; summary.json says why.')
    return notes


def _pictures(source: PairSource, factor: int) -> list[str]:
    pair, valid = source.thumbnail(factor)
    return [_encode(pair[..., start:start + 3], valid) for start in (0, 3)]


def _encode(image: np.ndarray, valid: np.ndarray | None = None) -> str:
    """An RGB image as an address that holds it; white where there is no data."""
    if valid is not None:
        image = np.where(valid[..., None], image, np.uint8(255))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, 'JPEG', quality=QUALITY)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'


def _cutting(source: PairSource, shape: shapely.Polygon) -> dict[str, Any]:
    """A change and its surroundings at full resolution, or scaled down where it is large."""
    left, top, right, bottom = shape.bounds
    side = int(min(max(2 * max(right - left, bottom - top), SMALLEST_CUTTING), LARGEST_CUTTING,
                   max(source.height, source.width)))
    rows, columns = (Span(start := int(min(max(middle - side / 2, 0), max(size - side, 0))), min(start + side, size))
                     for middle, size in (((top + bottom) / 2, source.height), ((left + right) / 2, source.width)))
    pair, valid = source.read(Window(rows, columns))
    scale = min(CUTTING / max(pair.shape[:2]), 1)
    size = max(round(pair.shape[1] * scale), 1), max(round(pair.shape[0] * scale), 1)
    shown = []
    for start in (0, 3):
        image = Image.fromarray(np.where(valid[..., None], pair[..., start:start + 3], np.uint8(255)))
        shown.append(_encode(np.asarray(image if scale == 1 else image.resize(size, Image.Resampling.BOX))))
    return dict(before=shown[0], after=shown[1], window=_box(Window(rows, columns)))


def _box(window: Window) -> list[int]:
    return [window.columns.start, window.rows.start, window.columns.stop, window.rows.stop]


def _rings(shape: shapely.Polygon) -> list[list[float]]:
    """Every ring as x, y, x, y ... without the closing corner."""
    return [_rounded(np.asarray(ring.coords)[:-1].ravel()) for ring in (shape.exterior, *shape.interiors)]


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [int(value) if value == int(value) else value for value in np.round(values, 1).tolist()]
