"""Independent checks of the files that a prediction of two GeoTIFFs writes."""
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import rasterio
from pyproj import CRS, Proj, Transformer
from rasterio import features

from ..inference.windows import Span


class Agreement(NamedTuple):
    """How two predictions of one scene differ.

    Attributes:
        mean_difference: Mean absolute difference of the probabilities.
        other_pixels: Share of pixels with different classes.
        f1: F1 of each mask against the ground truth; NaN if neither has a changed pixel.
    """
    mean_difference: float
    other_pixels: float
    f1: tuple[float, float]


def check_grid(a: Path, result: Path) -> None:
    """Check that a result has exactly the grid of A.

    Raises:
        ValueError: If CRS, transform or size differ.
    """
    with rasterio.open(a) as one, rasterio.open(result) as other:
        for key in ('crs', 'transform', 'shape'):
            expected, found = getattr(one, key), getattr(other, key)
            if expected != found:
                raise ValueError(f'{result}: expected the {key} of {a}, {expected!r}, got {found!r}')


def check_polygons(mask: Path, polygons: Path) -> float:
    """Check that the polygons of a prediction with ``min_area=0`` cover exactly the changed pixels.

    Args:
        mask: Predicted mask.
        polygons: Predicted polygons in the CRS of the mask, which must be projected, in metres.

    Returns:
        The share by which ``area_m2``, measured on the ellipsoid, differs from the number of pixels times the ground
        that one covers by the projection's own scale.

    Raises:
        ValueError: If the CRS differs, or a pixel lies in a polygon and is not changed, or the other way round.
    """
    layer = geopandas.read_file(polygons)
    with rasterio.open(mask) as file:
        changed, transform, crs = file.read(1) == 1, file.transform, CRS.from_user_input(file.crs)
    if layer.crs != crs:
        raise ValueError(f'{polygons}: expected the CRS of the mask, {crs.name}, got {layer.crs}')
    covered = np.zeros(changed.shape, np.uint8)
    if len(layer):
        features.rasterize(layer.geometry, out=covered, transform=transform)
    if (covered != changed).any():
        raise ValueError(f'{polygons}: {int((covered != changed).sum())} of {int(changed.sum())} changed pixels differ '
                         f'from those of {mask}')
    middle = rasterio.transform.xy(transform, *(size // 2 for size in changed.shape))
    place = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(*middle)
    pixel = abs(transform.determinant) / Proj(crs).get_factors(*place).areal_scale
    return abs(float(layer.area_m2.sum()) / (float(changed.sum()) * pixel) - 1) if changed.any() else 0.


def step_at_seams(probability: np.ndarray, columns: list[Span]) -> float:
    """Mean step between neighbouring columns where windows are blended, relative to elsewhere.

    Args:
        probability: (H, W), NaN where there are no data.
        columns: The spans of the windows, see :func:`~mamba_cd_plugin.inference.windows.axis_spans`.

    Returns:
        The ratio of the mean steps; about 1 where no seam is.
    """
    steps = np.nanmean(np.abs(np.diff(probability, axis=1)), axis=0)
    shared = np.zeros(len(steps), bool)
    for left, right in zip(columns, columns[1:]):
        shared[right.start:left.stop - 1] = True
    return float(steps[shared].mean() / steps[~shared].mean())


def compare_predictions(one: dict, other: dict, truth: np.ndarray) -> Agreement:
    """Compare two predictions, each with ``mask`` and ``probability`` (H, W), with each other and the ground truth."""
    return Agreement(
        float(np.abs(one['probability'] - other['probability']).mean()),
        float((one['mask'] != other['mask']).mean()),
        (changed_f1(one['mask'], truth), changed_f1(other['mask'], truth)),
    )


def changed_f1(mask: np.ndarray, truth: np.ndarray) -> float:
    """F1 of the changed class (1 in the mask, non-zero in the truth); NaN where neither has it."""
    predicted, changed = mask == 1, truth > 0
    counted = predicted.sum() + changed.sum()
    return float(2 * (predicted & changed).sum() / counted) if counted else float('nan')
