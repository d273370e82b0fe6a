"""Buildings that grew together in the mask, parted along the valley of the probability between them."""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import rasterio
import shapely
from rasterio import features
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from shapely import Polygon

from .job import PROBABILITY_STEPS

# Larger polygons stay whole. At 0.5 m it is a square of 500 m, far more than a row of houses, and takes 100 MB.
LARGEST_WINDOW = 1_000_000

# The probability of rows and columns of the image, float32 or quantised.
Reader = Callable[[slice, slice], np.ndarray]


class PixelPolygons(NamedTuple):
    """Outlined regions of changed pixels.

    Attributes:
        shapes: Polygons along the edges of pixels, in (column, row), (N,).
        pixels: Number of pixels of each, (N,).
        sums: The sum of their probabilities of change, each 0..1, (N,).
    """
    shapes: np.ndarray
    pixels: np.ndarray
    sums: np.ndarray

    def take(self, chosen: np.ndarray) -> 'PixelPolygons':
        """A selection of the polygons."""
        return PixelPolygons(*(values[chosen] for values in self))


def split_polygons(polygons: PixelPolygons, read: Reader, level: float, smallest: np.ndarray) -> PixelPolygons:
    """Part every polygon that falls into several where only pixels of a probability of ``level`` and above are kept.

    Args:
        polygons: All polygons; those that stay whole are given back as they are.
        read: Reads the probability.
        level: 0..1, above the threshold of the mask: at or below it nothing is parted.
        smallest: Pixels at ``level`` that make a part worth parting off, for each polygon (N,).

    Returns:
        Every changed pixel is in just one of them, as before.
    """
    parts = [_split(shape, pixels, total, read, level, limit)
             for shape, pixels, total, limit in zip(*polygons, smallest)]
    shapes = np.array([part[0] for found in parts for part in found], object)
    pixels, sums = (np.array([part[i] for found in parts for part in found]) for i in (1, 2))
    return PixelPolygons(shapes, pixels, sums)


def _split(shape: Polygon, pixels: int, total: float, read: Reader, level: float,
           smallest: float) -> list[tuple[Polygon, int, float]]:
    left, top, right, bottom = map(int, shape.bounds)
    # Two parts, and at least a pixel between them.
    if pixels <= 2 * max(smallest, 1) or not can_be_split(shape):
        return [(shape, pixels, total)]
    values = np.array(read(slice(top, bottom), slice(left, right)))
    inside = features.rasterize([shape], values.shape, transform=rasterio.Affine.translation(left, top)) == 1
    labels = split_region(inside, to_steps(values), level, smallest)
    if labels.max() < 2:
        return [(shape, pixels, total)]
    scale = PROBABILITY_STEPS if values.dtype == np.uint8 else 1
    counts = np.bincount(labels.ravel())
    sums = np.bincount(labels.ravel(), values.ravel()) / scale
    outlines = ((shapely.geometry.shape(part), int(label)) for part, label in features.shapes(
        labels, mask=inside, connectivity=4, transform=rasterio.Affine.translation(left, top)))
    return [(shapely.normalize(part), counts[label], sums[label]) for part, label in outlines]


def can_be_split(shape: Polygon) -> bool:
    """Whether the rectangle around a polygon is small enough to be looked at."""
    left, top, right, bottom = shape.bounds
    return (right - left) * (bottom - top) <= LARGEST_WINDOW


def to_steps(probability: np.ndarray) -> np.ndarray:
    """Probabilities in the steps of the quantised ones, so that both kinds are split alike."""
    return probability if probability.dtype == np.uint8 else (
        np.nan_to_num(probability) * PROBABILITY_STEPS + 0.5).astype(np.uint8)


def split_region(inside: np.ndarray, steps: np.ndarray, level: float, smallest: float) -> np.ndarray:
    """The watershed of one connected region, flooded from its peaks.

    The watershed is the minimum spanning forest that is rooted in the peaks (Cousty et al., PAMI 2009): each pixel goes
    to the peak that it reaches over the least deep valley. On a valley floor of equal probability the nearer peak wins.

    Args:
        inside: The pixels of the region, bool (H, W); connected by their sides.
        steps: Quantised probability, uint8 (H, W).
        level: Peaks are connected pixels with at least this probability.
        smallest: Peaks with fewer pixels are none.

    Returns:
        int32 (H, W): 0 outside, the parts from 1, each connected by sides; 1 throughout if there is one peak or none.
    """
    peaks, count = ndimage.label(inside & (steps >= level * PROBABILITY_STEPS))
    large = np.flatnonzero(np.bincount(peaks.ravel(), minlength=count + 1)[1:] >= smallest) + 1
    if len(large) < 2:
        return inside.astype(np.int32)
    peaks = np.where(np.isin(peaks, large), peaks, 0)
    distance = ndimage.distance_transform_edt(peaks == 0)
    # A peak is flat, so that no valley within it counts.
    depth = np.where(peaks > 0, 0., PROBABILITY_STEPS + 1. - steps)
    # Of each pixel, from 1; 0 becomes the root. 32 bits: csgraph of scipy 1.13 takes no others.
    number = (np.cumsum(inside).reshape(inside.shape) * inside).astype(np.int32)
    starts, ends, weights = [], [], []
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        both = inside[one] & inside[other]
        starts.append(number[one][both])
        ends.append(number[other][both])
        # On a floor of one depth the distance decides, which adds less than a step; 0 would be no edge.
        nearness = (distance[one] + distance[other]) / (2 * distance.max() + 1)
        weights.append((1 + np.maximum(depth[one], depth[other]) + nearness)[both])
    roots = number.ravel()[[np.argmax(peaks == peak) for peak in large]]
    size = int(number.max()) + 1
    graph = sparse.coo_array(
        (np.concatenate([*weights, np.full(len(roots), 0.5)]),  # the lightest, so that the tree holds them
         (np.concatenate([*starts, np.zeros(len(roots), np.int32)]), np.concatenate([*ends, roots]))), (size, size))
    tree = csgraph.minimum_spanning_tree(graph.tocsr()).tocoo()
    branches = tree.row > 0  # without the root the tree falls into one part for each peak
    forest = sparse.coo_array((tree.data[branches], (tree.row[branches], tree.col[branches])), (size, size))
    _, labels = csgraph.connected_components(forest, directed=False)
    parts = np.unique(labels[1:], return_inverse=True)[1] + 1
    return np.where(inside, parts[np.maximum(number, 1) - 1], 0).astype(np.int32)
