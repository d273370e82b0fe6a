"""The tiles that the page shows: what is worst, what is best, where two runs differ, what the head does."""
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Sequence

from PIL import Image
from torch import nn

from .head_maps import EDGE, GATE, HeadMap, head_maps
from .levels import precision, recall
from .pictures import TilePictures, color_map, data_uri, strip
from .results import Results
from .tiles import Tile, best, disagreements, worst


@dataclass
class Shot:
    """One strip of pictures.

    Attributes:
        title: Which tile.
        caption: What is to be known about it.
        uri: The strip.
        maps: The head's maps below it, a row a kind, each with its caption.
    """
    title: str
    caption: str
    uri: str
    maps: Dict[str, List[tuple]] = field(default_factory=dict)


@dataclass
class Album:
    """Strips under one heading."""
    title: str
    columns: List[str]
    shots: List[Shot]


ONE_RUN = ['A (before)', 'B (after)', 'truth', 'prediction', 'errors']


def tile_name(tile: Tile, size: tuple) -> str:
    """The image, and where in it the tile lies unless it is all of it."""
    whole = (tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start) == tuple(size)
    return tile.name if whole else f'{tile.name}, row {tile.rows.start}, column {tile.columns.start}'


def tile_caption(tile: Tile) -> str:
    """Its scores and how much changed."""
    if not tile.changed:
        return f'no change; {tile.counts.fp:,} pixels predicted'
    predicted = tile.counts.tp + tile.counts.fp
    return (f'F1 {100 * tile.f1:.1f}, precision {100 * float(precision(tile.counts)):.1f}, '
            f'recall {100 * float(recall(tile.counts)):.1f}; changed {100 * tile.changed / tile.pixels:.1f} %, '
            f'predicted {100 * predicted / tile.pixels:.1f} %')


def worst_and_best(results: Results, number: int, folder: Path) -> List[Album]:
    """The strips of one run, whose panels are written into ``folder`` too."""
    folder.mkdir(parents=True, exist_ok=True)
    albums = []
    for title, kind, tiles in (('Most pixels in error', 'worst', worst(results.tiles, number)),
                               ('Highest F1', 'best', best(results.tiles, number))):
        shots = []
        for rank, tile in enumerate(tiles, 1):
            pictures = TilePictures(results, tile)
            name = tile_name(tile, results.sizes[tile.image])
            pictures.write_panel(folder / f'{kind}_{rank}.png', name)
            shots.append(Shot(name, tile_caption(tile), data_uri(strip(pictures.strip()))))
        albums.append(Album(title, ONE_RUN, shots))
    return albums


def differences(baseline: Results, other: Results, number: int) -> Album:
    """Where two runs on the same images differ most."""
    shots = []
    for one, two in disagreements(baseline.tiles, other.tiles, number):
        first, second = TilePictures(baseline, one), TilePictures(other, two)
        pictures = [*first.strip()[:3], first.errors(), second.errors()]
        caption = f'pixels in error: {one.wrong:,} and {two.wrong:,}'
        shots.append(Shot(tile_name(one, baseline.sizes[one.image]), caption, data_uri(strip(pictures))))
    columns = [*ONE_RUN[:3], f'errors of {baseline.run.name}', f'errors of {other.run.name}']
    return Album(f'{other.run.name} against {baseline.run.name}', columns, shots)


def inside_the_head(results: Results, model: nn.Module, tiles: Sequence[Tile], folder: Path) -> Album:
    """Some tiles with the gates and edge maps of the head below them."""
    folder.mkdir(parents=True, exist_ok=True)
    shots = []
    for rank, tile in enumerate(tiles, 1):
        pictures = TilePictures(results, tile)
        maps: Dict[str, List[tuple]] = {}
        for head_map in head_maps(model, pictures.pair):
            picture = Image.fromarray(color_map(head_map))
            picture.save(folder / f'map_{rank}_{head_map.kind}_{head_map.part.replace(" ", "_")}.png')
            maps.setdefault(head_map.kind, []).append((head_map.part, map_caption(head_map),
                                                       data_uri(picture, lossless=True)))
        shots.append(Shot(tile_name(tile, results.sizes[tile.image]), tile_caption(tile),
                          data_uri(strip(pictures.strip())), maps))
    return Album('', ONE_RUN, shots)


def map_caption(head_map: HeadMap) -> str:
    """Mean and range in numbers, because the colours are those of each map alone."""
    values = head_map.values
    digits = {GATE: '.2f', EDGE: '.2g'}[head_map.kind]
    return f'mean {values.mean():{digits}}, {values.min():{digits}} to {values.max():{digits}}'

