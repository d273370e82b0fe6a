"""Pictures of tiles: strips for the page, and the package's panels for the folder beside it."""
import base64
import io
from pathlib import Path
from typing import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import TwoSlopeNorm
from PIL import Image

from ..io.pictures import read_rgb
from ..visualization import draw_change_panel
from ..visualization.drawing import beside, error_picture, mask_picture
from .evaluate import TILES, WHOLE
from .head_maps import GATE, HeadMap
from .results import Results
from .store import Record
from .tiles import Tile

# Between the pictures of a strip, in pixels of a tile of 256.
GAP = 6
# Lossy, and yet without visible seams at the sharp edges of the masks; a tenth of the bytes of a PNG.
QUALITY = 88
# Narrow maps are enlarged by whole factors to about this side, so that their own pixels stay visible.
MAP_SIDE = 128


class TilePictures:
    """The pictures of one tile as one run sees it.

    Args:
        results: Of the run.
        tile: Which tile.
    """

    def __init__(self, results: Results, tile: Tile) -> None:
        record: Record = results.store.read(tile.image)
        window = tile.rows, tile.columns
        self.a, self.b = (read_rgb(path)[window] for path in (record.image_a, record.image_b))
        self.truth = record.truth[window]
        self.prediction = (record.levels.get(TILES, record.levels[WHOLE])[window] >= results.level).astype(np.uint8)

    @property
    def pair(self) -> np.ndarray:
        """Both images, (H, W, 6)."""
        return np.concatenate([self.a, self.b], axis=2)

    def strip(self) -> list[np.ndarray]:
        """A, B, truth, prediction, errors."""
        return [self.a, self.b, mask_picture(self.truth), mask_picture(self.prediction), self.errors()]

    def errors(self) -> np.ndarray:
        """The error map."""
        return error_picture(self.prediction, self.truth)

    def write_panel(self, file: Path, title: str) -> None:
        """Write the panel with its headings, scores and legend as a PNG."""
        Image.fromarray(draw_change_panel(self.a, self.b, self.prediction, self.truth, title)).save(file)


def strip(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Pictures of one size beside each other, transparent in between."""
    gap = max(1, round(GAP * pictures[0].shape[1] / 256))
    opaque = [np.pad(picture, ((0, 0), (0, 0), (0, 1)), constant_values=255) for picture in pictures]
    return Image.fromarray(beside(opaque, gap, paper=(0, 0, 0, 0)))


def data_uri(picture: Image.Image, lossless: bool = False) -> str:
    """A picture as text that a page can hold."""
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
