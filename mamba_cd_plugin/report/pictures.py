"""The pictures of the page: worst and best tiles, differences between runs, gates and edge maps of the decode head."""
import base64
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import TwoSlopeNorm
from PIL import Image
from torch import Tensor, nn

from ..io.files import whole_file
from ..io.pictures import read_for_eye
from ..models.decode_heads.aff import AttentionalFeatureFusion
from ..models.decode_heads.edges import DoGEdge, LaplacianMap
from ..visualization import draw_change_panel
from ..visualization.drawing import beside, error_picture, mask_picture
from .pixels import precision, recall
from .regions import ScoredTile, best, disagreements, worst
from .results import Results
from .runs import TILES, WHOLE

# Between the pictures of a strip, in pixels of a tile of 256.
GAP = 6
# Lossy without visible artefacts at the sharp edges of the masks, a tenth of the size of a PNG.
QUALITY = 88
# Narrow maps are enlarged by whole factors to about this side, so that their own pixels stay visible.
MAP_SIDE = 128
GATE, EDGE = 'gate', 'edge'
ONE_RUN = ['A (before)', 'B (after)', 'ground truth', 'prediction', 'error map']


class HeadMap(NamedTuple):
    """The map of one part of the decode head for one pair.

    Attributes:
        kind: 'gate': the weight of the trunk, mean over the channels; 'edge': the strength of the edge response, mean
            of its absolute value over the channels.
        part: Name of the part.
        values: (h, w) float32, at the resolution of the part.
        neutral: Weight of a gate at which trunk and branch are equal; 0 for an edge map.
    """
    kind: str
    part: str
    values: np.ndarray
    neutral: float


def part_name(path: str) -> str:
    """Readable name of a module of the head, such as 'level 4' for ``levels.3.fusion``."""
    level = re.match(r'levels\.(\d+)\.', path)
    if level:
        inside = ' skip' if '.skip.' in path else ''
        return f'level {int(level.group(1)) + 1}{inside}'
    if path.startswith('image_edge'):
        return {'edge_a': 'image A', 'edge_b': 'image B'}.get(path.rpartition('.')[2], 'images')
    return path.replace('.fusions.', ' ').replace('.', ' ')


def watched_parts(head: nn.Module) -> Iterator[tuple[str, str, nn.Module, nn.Module]]:
    """Kind, path, the part, and the module inside of it whose output is its map; the deepest level first."""
    for path, module in reversed(list(head.named_modules())):
        if isinstance(module, AttentionalFeatureFusion):
            yield GATE, path, module, module.attention
        elif isinstance(module, DoGEdge):
            yield EDGE, path, module, module.dog
        elif isinstance(module, LaplacianMap):
            yield EDGE, path, module, module


@contextmanager
def watch(model: Any) -> Iterator[dict[str, HeadMap]]:
    """Context in which a forward pass of one pair stores its maps in the yielded dict, by module path.

    A model without such parts leaves the dict empty.
    """
    maps: dict[str, HeadMap] = {}

    def keeper(kind: str, path: str, part: nn.Module) -> Callable[[nn.Module, tuple, Tensor], None]:
        def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            maps[path] = _to_map(kind, path, part, output[0])
        return keep

    handles = [source.register_forward_hook(keeper(kind, path, part))
               for kind, path, part, source in watched_parts(model.decode_head)]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _to_map(kind: str, path: str, part: Any, output: Tensor) -> HeadMap:
    """One (C, h, w) output to a map."""
    output = output.detach().float()
    if kind == EDGE:
        return HeadMap(kind, part_name(path), output.abs().mean(dim=0).cpu().numpy(), 0.)
    weight = part.gate(output)[0].mean(dim=0)
    # The two weights sum to 1 or 2; the trunk's share is half of that where neither is preferred.
    neutral = float(sum(part.gate(torch.zeros(1)))) / 2
    return HeadMap(kind, part_name(path), weight.cpu().numpy(), neutral)


@torch.inference_mode()
def head_maps(model: Any, pair: np.ndarray) -> list[HeadMap]:
    """The maps of one pair.

    Args:
        model: An mmseg segmentor in evaluation mode.
        pair: uint8 RGB (H, W, 6), A first.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(pair.transpose(2, 0, 1)))
    inputs = model.data_preprocessor(dict(inputs=[tensor]), False)['inputs']
    with watch(model) as maps:
        model.encode_decode(inputs, [dict(img_shape=pair.shape[:2])])
    return [maps[path] for _, path, *_ in watched_parts(model.decode_head) if path in maps]


@dataclass
class Shot:
    """A row of pictures of one tile.

    Attributes:
        title: Name of the tile.
        caption: Scores of the tile.
        uri: The pictures as data URI.
        maps: Maps of the head by kind: part, caption and data URI of each.
    """
    title: str
    caption: str
    uri: str
    maps: dict[str, list[tuple]] = field(default_factory=dict)


@dataclass
class Album:
    """Tiles under one heading."""
    title: str
    columns: list[str]
    shots: list[Shot]


def tile_name(tile: ScoredTile, size: tuple) -> str:
    """Name of the image, and the position of the tile if it is not the whole image."""
    whole = (tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start) == tuple(size)
    return tile.name if whole else f'{tile.name}, row {tile.rows.start}, column {tile.columns.start}'


def tile_caption(tile: ScoredTile) -> str:
    """Scores of the tile and its share of changed pixels."""
    if not tile.changed:
        return f'no change; {tile.counts.fp:,} pixels predicted'
    predicted = tile.counts.tp + tile.counts.fp
    return (f'F1 {100 * tile.f1:.1f}, precision {100 * float(precision(tile.counts)):.1f}, '
            f'recall {100 * float(recall(tile.counts)):.1f}; changed {100 * tile.changed / tile.pixels:.1f} %, '
            f'predicted {100 * predicted / tile.pixels:.1f} %')


def worst_and_best(results: Results, number: int, folder: Path) -> list[Album]:
    """Worst and best tiles of a run; their panels are also written into ``folder``."""
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
    """The tiles on which two runs differ most."""
    shots = []
    for one, two in disagreements(baseline.tiles, other.tiles, number):
        first, second = TilePictures(baseline, one), TilePictures(other, two)
        pictures = [*first.strip()[:3], first.errors(), second.errors()]
        caption = f'pixels in error: {one.wrong:,} and {two.wrong:,}'
        shots.append(Shot(tile_name(one, baseline.sizes[one.image]), caption, data_uri(strip(pictures))))
    columns = [*ONE_RUN[:3], f'errors of {baseline.run.name}', f'errors of {other.run.name}']
    return Album(f'{other.run.name} against {baseline.run.name}', columns, shots)


def inside_the_head(results: Results, model: nn.Module, tiles: Sequence[ScoredTile], folder: Path) -> Album:
    """Tiles with the gates and edge maps of the head below them."""
    shots = []
    for rank, tile in enumerate(tiles, 1):
        pictures = TilePictures(results, tile)
        maps: dict[str, list[tuple]] = {}
        for head_map in head_maps(model, pictures.pair):
            picture = Image.fromarray(color_map(head_map))
            with whole_file(folder / f'map_{rank}_{head_map.kind}_{head_map.part.replace(" ", "_")}.png') as part:
                picture.save(part)
            maps.setdefault(head_map.kind, []).append((head_map.part, map_caption(head_map),
                                                       data_uri(picture, lossless=True)))
        shots.append(Shot(tile_name(tile, results.sizes[tile.image]), tile_caption(tile),
                          data_uri(strip(pictures.strip())), maps))
    return Album('', ONE_RUN, shots)


def map_caption(head_map: HeadMap) -> str:
    """Mean and range of a map, because each map has its own colour scale."""
    values = head_map.values
    digits = {GATE: '.2f', EDGE: '.2g'}[head_map.kind]
    return f'mean {values.mean():{digits}}, {values.min():{digits}} to {values.max():{digits}}'


class TilePictures:
    """The pictures of one tile of a run.

    Args:
        results: Results of the run.
        tile: The tile.
    """

    def __init__(self, results: Results, tile: ScoredTile) -> None:
        record = results.store.read(tile.image)
        window = tile.rows, tile.columns
        self.a, self.b = (read_for_eye(path)[window] for path in (record.image_a, record.image_b))
        self.truth = record.truth[window]
        self.prediction = (record.levels.get(TILES, record.levels[WHOLE])[window] >= results.level).astype(np.uint8)

    @property
    def pair(self) -> np.ndarray:
        """Both images, (H, W, 6)."""
        return np.concatenate([self.a, self.b], axis=2)

    def strip(self) -> list[np.ndarray]:
        """A, B, ground truth, prediction, error map."""
        return [self.a, self.b, mask_picture(self.truth), mask_picture(self.prediction), self.errors()]

    def errors(self) -> np.ndarray:
        """The error map."""
        return error_picture(self.prediction, self.truth)

    def write_panel(self, file: Path, title: str) -> None:
        """Write the panel with its headings, scores and legend as a PNG."""
        with whole_file(file) as part:
            Image.fromarray(draw_change_panel(self.a, self.b, self.prediction, self.truth, title)).save(part)


def strip(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Pictures of one size side by side, with transparent gaps."""
    gap = max(1, round(GAP * pictures[0].shape[1] / 256))
    opaque = [np.pad(picture, ((0, 0), (0, 0), (0, 1)), constant_values=255) for picture in pictures]
    return Image.fromarray(beside(opaque, gap, paper=(0, 0, 0, 0)))


def data_uri(picture: Image.Image, lossless: bool = False) -> str:
    """A picture as data URI."""
    file = io.BytesIO()
    picture.save(file, format='WEBP', quality=QUALITY, lossless=lossless, method=4)
    return f'data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}'


def color_map(head_map: HeadMap) -> np.ndarray:
    """A map of the head in colours, (H, W, 3) uint8.

    A gate: purple where the branch weighs more, orange where the trunk does, white where they weigh alike. An edge
    response: dark where there is none, up to the 99th percentile of the map, so that one pixel does not darken all.
    """
    values = head_map.values
    if head_map.kind == GATE:
        reach = max(float(np.abs(values - head_map.neutral).max()), 1e-6)
        norm = TwoSlopeNorm(head_map.neutral, head_map.neutral - reach, head_map.neutral + reach)
        colored = colormaps['PuOr_r'](norm(values))
    else:
        colored = colormaps['inferno'](np.clip(values / max(float(np.percentile(values, 99)), 1e-12), 0, 1))
    zoom = max(1, MAP_SIDE // min(values.shape))
    return (255 * colored[..., :3]).round().astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)
