"""Write a generated county to try `mamba-cd mosaic` on: python tools/misc/county.py data/county --pairs 64 --size 2000

    before/ after/      pairs of GeoTIFFs in rows and columns, neighbours overlap; those of the eastern half are in the
                        next zone of UTM, every ninth place is a gap
    county.geojson      four districts with names, as area of interest or as zones

One raster after is cut short, and another has pixels of twice the side. Neighbours are different towns: where they
overlap, the order decides which of them counts. A scene takes about two seconds per million pixels; with --scenes 8,
the default, the pairs are eight scenes, turned and mirrored.
"""
import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.warp import transform

from mamba_cd_plugin.io.files import whole_file
from mamba_cd_plugin.synthetic.scene import generate_pair

PIXEL = 0.5
# Near 12 degrees east, where zones 32 and 33 of UTM meet.
ZONES = 'EPSG:32632', 'EPSG:32633'
WEST, NORTH = 719000., 5334000.
# Of the side of a raster.
OVERLAP = 0.06
GAP_EVERY = 9


class Place(NamedTuple):
    """Where a pair lies.

    Attributes:
        row, column: In the county.
        zone: Its CRS.
        x, y: Its upper left corner.
    """
    row: int
    column: int
    zone: str
    x: float
    y: float


def places(pairs: int, size: int) -> list[Place]:
    """Where the pairs of a county lie, row by row, with a gap at every ninth place."""
    columns = math.ceil(math.sqrt(pairs * GAP_EVERY / (GAP_EVERY - 1)))
    step = size * PIXEL * (1 - OVERLAP)
    found: list[Place] = []
    number = 0
    while len(found) < pairs:
        number += 1
        row, column = divmod(number - 1, columns)
        if number % GAP_EVERY == 0:
            continue
        zone, x, y = ZONES[0], WEST + column * step, NORTH - row * step
        if column >= columns / 2:
            zone = ZONES[1]
            (x, ), (y, ) = transform(*ZONES, [x], [y])
        # A whole number of pixels, so that rasters of one zone are on one grid, as those of a survey are.
        found.append(Place(row, column, zone, round(x / PIXEL) * PIXEL, round(y / PIXEL) * PIXEL))
    return found


def write_county(out: Path, pairs: int, size: int, scenes: int, seed: int) -> None:
    """Write the rasters and the districts.

    Args:
        out: The folder.
        pairs: How many.
        size: Side of a raster in pixels; even.
        scenes: How many of them are different scenes.
        seed: The same seed gives the same county.

    Raises:
        ValueError: If there are too few pairs for the defects.
        FileExistsError: If the folder holds something.
    """
    if pairs < 4 or size % 2:
        raise ValueError(f'expected at least 4 pairs and an even size, got {pairs} and {size}')
    if out.is_dir() and any(out.iterdir()):
        raise FileExistsError(f'{out}: holds files already; expected a new folder')
    all_places = places(pairs, size)
    damaged, coarse = all_places[pairs // 3], all_places[pairs // 2]
    drawn: list[np.ndarray] = []  # 24 MB each at 2000 px
    for number, place in enumerate(all_places):
        if number < scenes:
            pair = generate_pair((seed, number), size)
            drawn.append(np.stack([pair.a, pair.b]))
        images = np.rot90(drawn[number % scenes], number // scenes, axes=(1, 2))
        if number // scenes % 8 >= 4:
            images = images[:, :, ::-1]
        for name, image in zip(('before', 'after'), images):
            side = PIXEL
            if name == 'after' and place == coarse:
                image, side = image.reshape(size // 2, 2, size // 2, 2, 3).mean(axis=(1, 3)).astype(np.uint8), 2 * PIXEL
            # Not by OutputFolder: what this package notes as its own results is not read as an image.
            with whole_file(out / name / f'r{place.row:02}_c{place.column:02}.tif') as part:
                write_tile(part, image, place, side)
                if name == 'after' and place == damaged:
                    content = part.read_bytes()
                    part.write_bytes(content[:len(content) // 2])
    with whole_file(out / 'county.geojson') as part:
        part.write_text(json.dumps(districts(all_places, size)), 'utf-8')


def write_tile(path: Path, image: np.ndarray, place: Place, side: float) -> None:
    """Write one raster, (H, W, 3)."""
    with rasterio.open(path, 'w', driver='GTiff', count=3, height=len(image), width=len(image), dtype='uint8',
                       crs=place.zone, transform=rasterio.Affine(side, 0, place.x, 0, -side, place.y), tiled=True,
                       blockxsize=256, blockysize=256, compress='deflate', photometric='RGB') as file:
        file.write(image.transpose(2, 0, 1))


def districts(all_places: list[Place], size: int) -> dict:
    """Four districts around the middle of the county, as GeoJSON; its outermost tenth belongs to none."""
    step = size * PIXEL * (1 - OVERLAP)
    wide, high = (max(getattr(place, axis) for place in all_places) + 1 for axis in ('column', 'row'))
    features = []
    for name, left, top in (('Northwest', 0.1, 0.1), ('Northeast', 0.5, 0.1), ('Southwest', 0.1, 0.5),
                            ('Southeast', 0.5, 0.5)):
        corners = [(left, top), (left, top + 0.4), (left + 0.4, top + 0.4), (left + 0.4, top), (left, top)]
        x, y = zip(*((WEST + across * wide * step, NORTH - down * high * step) for across, down in corners))
        ring = [[round(value, 8) for value in point] for point in zip(*transform(ZONES[0], 'EPSG:4326', x, y))]
        features.append(dict(type='Feature', properties=dict(name=name),
                             geometry=dict(type='Polygon', coordinates=[ring])))
    return dict(type='FeatureCollection', features=features)


def main() -> None:
    """Write a county."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument('--pairs', type=int, default=64, help='pairs of rasters (64)')
    parser.add_argument('--size', type=int, default=2000, help='side of a raster in pixels (2000)')
    parser.add_argument('--scenes', type=int, default=8, help='different scenes among the pairs (8)')
    parser.add_argument('--seed', type=int, default=2024, help='the same seed gives the same county')
    args = parser.parse_args()
    write_county(args.out, args.pairs, args.size, args.scenes, args.seed)


if __name__ == '__main__':
    main()
