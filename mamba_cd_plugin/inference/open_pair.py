"""From files or arrays to pairs that can be read."""
from pathlib import Path
from typing import Optional, Union

import numpy as np

from .array_pair import ArrayPair
from .pair_source import Image, PairSource, ReadOptions

# Read by Pillow, which needs no extra; every other file is rasterio's.
PICTURE_SUFFIXES = ('.png', '.jpg', '.jpeg')


def open_pair(a: Image, b: Image, options: Optional[ReadOptions] = None) -> PairSource:
    """Open a pair: two arrays, two pictures (PNG, JPEG), or two rasters of any kind that GDAL reads.

    Raises:
        ImportError: If a raster is to be opened without the extra ``geo``.
        ValueError, OSError: If the images cannot be read, or are no pair; the message says which and why.
    """
    options = options or ReadOptions()
    if isinstance(a, np.ndarray) != isinstance(b, np.ndarray):
        raise ValueError(f'expected two files or two arrays, got {type(a).__name__} and {type(b).__name__}')
    if isinstance(a, np.ndarray) or all(Path(path).suffix.lower() in PICTURE_SUFFIXES for path in (a, b)):
        return ArrayPair(a, b, options)
    try:
        from .raster_pair import RasterPair
    except ImportError as error:
        raise ImportError(f"reading {a} and {b} needs rasterio: pip install 'mamba_cd_plugin[geo]' "
                          f'({error})') from error
    return RasterPair(Path(a), Path(b), options)


def find_pairs(a: Union[str, Path], b: Union[str, Path]) -> list[tuple[Path, Path]]:
    """Two files as the only pair, or the images of two folders, paired by their names without the ending.

    Raises:
        FileNotFoundError: If one does not exist, a folder holds no image, or an image has no mate; all of them are
            named.
        ValueError: If a file stands against a folder, or a folder has two images of one name.
    """
    a, b = Path(a), Path(b)
    for path in (a, b):
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist')
    if a.is_file() and b.is_file():
        return [(a, b)]
    if a.is_file() or b.is_file():
        raise ValueError(f'expected two files or two folders, got one of each: {a} and {b}')
    mates_a, mates_b = _images(a), _images(b)
    alone = sorted(map(str, [mates_a[stem] for stem in mates_a.keys() - mates_b.keys()] +
                       [mates_b[stem] for stem in mates_b.keys() - mates_a.keys()]))
    if alone:
        raise FileNotFoundError(f'{len(alone)} images have no mate of the same name in the other folder: '
                                f'{", ".join(alone[:5])}{" ..." if len(alone) > 5 else ""}')
    return [(mates_a[stem], mates_b[stem]) for stem in sorted(mates_a)]


def _images(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (*PICTURE_SUFFIXES, '.tif', '.tiff', '.vrt', '.jp2', '.img'):
            continue
        if path.stem in found:
            raise ValueError(f'{found[path.stem]} and {path} have the same name, but one pair needs one of each; '
                             'move one away')
        found[path.stem] = path
    if not found:
        raise FileNotFoundError(f'{folder} holds no image (png, jpg, tif, vrt, jp2, img)')
    return found
