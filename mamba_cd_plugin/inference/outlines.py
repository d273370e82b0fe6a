"""Simple or right-angled outlines of buildings from outlines of pixels."""
from collections.abc import Callable

import numpy as np
import shapely
from shapely import Polygon, affinity

# An outline may move by half a pixel: where within a pixel the border runs is not known anyway.
TOLERANCE = 0.5
# A squared outline may move further: a wall is straightened over all its length.
SQUARE_TOLERANCE = 2.
AREA_CHANGE = 0.01
# From the most to the least: the first that keeps within half a pixel is taken.
SIMPLIFICATIONS = (0.5, 0.35, 0.2, 0.)
# Walls shorter than this are parts of a staircase, not of a building.
SHORTEST_WALL = 2.
SQUARE_OVERLAP = 0.9


def simplify_outline(polygon: Polygon) -> Polygon:
    """Straighten the staircases of an outline in pixel coordinates, by up to half a pixel and a percent of the area.

    A step of one pixel becomes its middle: on a slanted wall the middles of all steps lie on one line. Corners between
    longer edges stay where they are.

    Args:
        polygon: Outline of pixels as GDAL gives it: corners are whole numbers, edges horizontal and vertical.

    Returns:
        The polygon itself where nothing is gained, or no simpler one is close enough.
    """
    smooth = _map_rings(polygon, _middles_of_steps)
    for tolerance in SIMPLIFICATIONS if smooth is not None else ():
        simple = smooth.simplify(tolerance)
        if _is_close(simple, polygon, TOLERANCE):
            return simple
    return polygon


def square_outline(polygon: Polygon) -> Polygon:
    """Give an outline right angles to the building's main direction, which is that of its smallest rectangle.

    Args:
        polygon: The same as for :func:`simplify_outline`.

    Returns:
        The simplified polygon where a squared one would not cover nearly the same ground, such as a round pond.
    """
    simple = simplify_outline(polygon)
    corners = np.asarray(shapely.minimum_rotated_rectangle(polygon).exterior.coords)
    sides = np.diff(corners, axis=0)[:2]
    along = sides[np.argmax(np.linalg.norm(sides, axis=1))]
    angle = np.degrees(np.arctan2(along[1], along[0]))
    centre = polygon.centroid
    turned = affinity.rotate(simple, -angle, origin=centre)
    squared = _map_rings(turned, _right_angles)
    if squared is None or squared.geom_type != 'Polygon' or not squared.is_valid or not squared.area:
        return simple
    scale = np.sqrt(polygon.area / squared.area)  # so that the area stays that of the pixels
    squared = affinity.rotate(affinity.scale(squared, scale, scale, origin=squared.centroid), angle, origin=centre)
    overlap = squared.intersection(polygon).area / squared.union(polygon).area
    return squared if overlap >= SQUARE_OVERLAP and _is_close(squared, polygon, SQUARE_TOLERANCE) else simple


def _map_rings(polygon: Polygon, change: Callable[[np.ndarray], np.ndarray | None]) -> Polygon | None:
    """A polygon of changed rings, each (N, 2) and not closed; None where one of them vanishes."""
    rings = [change(np.asarray(ring.coords)[:-1]) for ring in (polygon.exterior, *polygon.interiors)]
    return None if any(ring is None or len(ring) < 3 for ring in rings) else Polygon(rings[0], rings[1:])


def _is_close(new: Polygon, old: Polygon, tolerance: float) -> bool:
    return (new.geom_type == 'Polygon' and new.is_valid and len(new.interiors) == len(old.interiors)
            and abs(new.area - old.area) <= AREA_CHANGE * old.area
            and _corners_near(new, old, tolerance + 1e-9) and _corners_near(old, new, tolerance + 1e-9))


def _corners_near(polygon: Polygon, other: Polygon, distance: float) -> bool:
    """Whether every corner lies near the outline of the other polygon.

    Both ways it is the Hausdorff distance as GEOS computes it, but by an index: the outline of a forest has a hundred
    thousand corners, and comparing each with each takes hours.
    """
    boundary = other.boundary
    shapely.prepare(boundary)
    return bool(shapely.dwithin(boundary, shapely.points(shapely.get_coordinates(polygon)), distance).all())


def _middles_of_steps(ring: np.ndarray) -> np.ndarray:
    """A ring of pixel edges in which every step of one pixel, up or down, is replaced by its middle.

    Corners stay where both edges are longer, and at both ends of an edge where the border turns back, such as the top
    of a round outline.
    """
    edges = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(edges).sum(axis=1)
    before = np.roll(edges, 1, axis=0)
    turns = np.sign(before[:, 0] * edges[:, 1] - before[:, 1] * edges[:, 0])
    turns_back = turns == np.roll(turns, -1)
    long = lengths > 1
    is_step = ~long & ~(turns_back & (np.roll(long, 1) | np.roll(long, -1)))
    ends = ~is_step & (turns_back | ~long)  # edges that keep both their corners
    keeps = (long & np.roll(long, 1)) | ends | np.roll(ends, 1)
    points = []
    for corner, edge, kept, step in zip(ring, edges, keeps, is_step):
        if kept:
            points.append(corner)
        if step:
            points.append(corner + edge / 2)
    return np.array(points)


def _right_angles(ring: np.ndarray) -> np.ndarray | None:
    """A ring with horizontal and vertical edges only; None where it has no such shape.

    Edges that run the same way, one after the other, become one line at the mean of their places, each as heavy as it
    is long; where neighbouring lines meet are the corners.
    """
    edges = np.roll(ring, -1, axis=0) - ring
    lengths = np.linalg.norm(edges, axis=1)
    middles = ring + edges / 2
    level = np.abs(edges[:, 0]) >= np.abs(edges[:, 1])
    if level.all() or not level.any():
        return None
    start = int(np.flatnonzero(level != np.roll(level, 1))[0])  # where the direction changes
    order = np.roll(np.arange(len(ring)), -start)
    groups = np.split(order, np.flatnonzero(np.diff(level[order].astype(int))) + 1)
    groups = [group for group in groups if lengths[group].sum() >= SHORTEST_WALL]
    merged: list[list[int]] = []
    for group in groups:
        if merged and level[merged[-1][0]] == level[group[0]]:
            merged[-1] += group.tolist()  # what lay between was too short
        else:
            merged.append(group.tolist())
    if len(merged) > 1 and level[merged[0][0]] == level[merged[-1][0]]:
        merged[0] += merged.pop()
    if len(merged) < 4:
        return None
    lines = [(level[group[0]], np.average(middles[group, 1 if level[group[0]] else 0], weights=lengths[group]))
             for group in merged]
    return np.array([(other[1], line[1]) if line[0] else (line[1], other[1])
                     for line, other in zip(lines, lines[1:] + lines[:1])])


# By the value of --outline; what each does to the outline of pixels.
OUTLINES: dict[str, Callable[[Polygon], Polygon]] = dict(
    pixels=lambda polygon: polygon, simple=simplify_outline, square=square_outline)
