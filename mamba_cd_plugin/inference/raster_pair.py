"""A pair of rasters: B is brought onto A's grid, and both are read window by window."""
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from ..io.grids import (
    check_location,
    coverage,
    describe_crs,
    describe_difference,
    describe_oblong,
    how_to_assign,
    same_grid,
    warp_scales,
    wrapped_crs,
)
from ..io.radiometry import (
    Stretch,
    check_value_range,
    describe_collars,
    describe_missing,
    find_stretch,
    is_8_bits_in_disguise,
)
from ..io.rasters import (
    GDAL_CACHE_BYTES,
    RASTER_ERRORS,
    SAMPLE_SIDE,
    BandChoice,
    alpha_band,
    choose_bands,
    open_raster,
)
from .pairs import PairSource, PairTile, ReadOptions, Span, Window, file_origin


@contextmanager
def naming_files(*paths: Path | str, **headers: Path | str) -> Iterator[None]:
    """Name the files in errors that do not; ``headers`` are what GDAL calls copies in memory, with their files."""
    try:
        yield
    except (*RASTER_ERRORS, UnicodeDecodeError) as error:
        raise ValueError(f'{" and ".join(map(str, paths))}: cannot be read as a raster: {error.__cause__ or error}. It '
                         'is damaged or incomplete: replace or convert it') from error
    except ValueError as error:
        text = str(error)
        for header, path in headers.items():
            text = text.replace(header, str(path))
        raise ValueError(text) from error


class RasterImage:
    """One raster of a pair: its colour bands, where it has data, and notes on both for the user.

    A pixel has data where alpha is not 0, not all bands have the nodata value, the image's own mask does not exclude
    it, and no band is NaN.

    Args:
        label: 'A' or 'B'.
        path: Path of the file; of one elsewhere, the name by which GDAL reads it, as a string.
        bands: Band numbers that the user wants, or None.
        nodata: A value that takes the place of the file's nodata value, or None.
        stack: Closes what is opened.
        examine: Whether to read a sample of the whole raster, and to note what is found.
        cloud_band: Number of a band that is a cloud mask, and so no alpha whatever the file calls it, or None.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it cannot be read; the message says why.
    """

    def __init__(self, label: str, path: Path | str, bands: Sequence[int] | None, nodata: float | None,
                 stack: ExitStack, examine: bool = True, cloud_band: int | None = None) -> None:
        self.label, self.path, self.nodata, self.cloud_band = label, path, nodata, cloud_band
        self.header = ''  # a copy in memory, where one was needed
        self.dataset: DatasetReader | WarpedVRT = stack.enter_context(open_raster(path))
        check_location(self.dataset)
        self.palette = self._palette()
        choice = BandChoice((1, 1, 1), '') if self.palette is not None else choose_bands(self.dataset, bands)
        self.indexes, self.notes = list(choice.indexes), [choice.note] if choice.note else []
        self._settle_alpha(stack)
        if examine:
            self.sample, self.sample_valid = self.read(self._whole, self._factor, Resampling.nearest)
            self._note_missing()

    @property
    def dtype(self) -> str:
        """Type of the values that :meth:`read` returns."""
        return 'uint8' if self.palette is not None else self.dataset.dtypes[self.indexes[0] - 1]

    @property
    def scaling(self) -> tuple[float, float]:
        """Scale and offset of the values in the header."""
        return self.dataset.scales[self.indexes[0] - 1], self.dataset.offsets[self.indexes[0] - 1]

    @property
    def _whole(self) -> RasterWindow:
        return RasterWindow(0, 0, self.dataset.width, self.dataset.height)

    @property
    def _factor(self) -> int:
        return -(-max(self.dataset.shape) // SAMPLE_SIDE)

    @property
    def _alpha(self) -> int:
        """The number of the alpha band; 0 where there is none."""
        colours = self.dataset.colorinterp
        return colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else 0

    def _palette(self) -> np.ndarray | None:
        """The palette (values, 4) of a raster with indices into one; None for other rasters."""
        if ColorInterp.palette not in self.dataset.colorinterp:
            return None
        if self.dataset.count > 1 or self.dataset.dtypes[0] != 'uint8':
            raise ValueError(f'{self.path}: has a palette beside {self.dataset.count} bands of '
                             f'{self.dataset.dtypes[0]}; expand it first (gdal_translate -expand rgb)')
        colours = self.dataset.colormap(1)
        return np.array([colours.get(value, (0, 0, 0, 0)) for value in range(256)], np.uint8)

    def _settle_alpha(self, stack: ExitStack) -> None:
        """If a band that is called alpha is no alpha, use a copy of the header that says so."""
        if not self._alpha:
            return
        number = self._alpha
        if number in self.indexes:
            self.notes.append(f'band {number} is called alpha, but --bands selects it: read as a colour, not as a mask')
        elif number == self.cloud_band:
            self.notes.append(f'band {number} is called alpha, but --cloud-band names it: read as a cloud mask')
        elif alpha_band(self.dataset):
            return
        else:
            self.notes.append(f'band {number} is called alpha, but holds many values, as near infrared does; it is not '
                              'taken for a mask')
        header = stack.enter_context(MemoryFile(ext='.vrt'))
        self.header = header.name
        source = str(self.path.resolve()) if isinstance(self.path, Path) else self.path
        copy_raster(source, header.name, driver='VRT')
        with rasterio.open(header.name, 'r+') as file:
            file.colorinterp = [ColorInterp.undefined if colour == ColorInterp.alpha else colour
                                for colour in file.colorinterp]
        self.dataset = stack.enter_context(rasterio.open(header.name))

    def _note_missing(self) -> None:
        notes = (describe_missing(self.sample_valid, self._mask_kind()),
                 *describe_collars(self.sample, self.sample_valid))
        self.notes += [note for note in notes if note]

    def _mask_kind(self) -> str:
        if self._alpha:
            both = '' if self.nodata is None and self.dataset.nodata is None else ', or all bands have the nodata value'
            return f'its alpha band {self._alpha} is 0{both}'
        if self.nodata is not None:
            return f'they have the value {self.nodata:g} of --nodata in all bands'
        flags = self.dataset.mask_flag_enums[self.indexes[0] - 1]
        if MaskFlags.nodata in flags:
            return f'they have its nodata value {self.dataset.nodata:g} in all bands'
        return 'its mask excludes them' if MaskFlags.per_dataset in flags else 'a band is NaN or infinite'

    def warp_to(self, grid: DatasetReader, stack: ExitStack) -> None:
        """Lay the image onto another grid, window by window while it is read.

        Raises:
            ValueError: If GDAL cannot.
        """
        own: dict = {} if self.nodata is None else dict(src_nodata=self.nodata, nodata=self.nodata)
        wrapped = wrapped_crs(self.dataset, grid)
        if wrapped is not None:
            own['src_crs'] = wrapped
        try:
            self.dataset = stack.enter_context(
                WarpedVRT(
                    self.dataset, crs=grid.crs, transform=grid.transform, height=grid.height, width=grid.width,
                    resampling=Resampling.bilinear if self.palette is None else Resampling.nearest,
                    add_alpha=not self._alpha, **own, **warp_scales(grid, self.dataset)))
        except RASTER_ERRORS as error:
            raise ValueError(f'{self.path}: cannot be warped onto the grid of {grid.name}: {error}. Bring both images '
                             'into one CRS first (gdalwarp)') from error

    def read(self, window: RasterWindow, factor: int, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
        """Values (h, w, 3) as they are, and where they are data (h, w).

        Raises:
            OSError: If the file is damaged there.
        """
        shape = -(-int(window.height) // factor), -(-int(window.width) // factor)
        resampling = resampling if self.palette is None else Resampling.nearest
        try:
            values = self.dataset.read(self.indexes, window=window, out_shape=(3, *shape), resampling=resampling)
            valid = self._read_valid(window, shape, values)
        except RASTER_ERRORS as error:
            stop = window.row_off + window.height
            raise OSError(f'{self.path}: reading rows {window.row_off} to {stop} failed: {error.__cause__ or error}. '
                          'The file, or one to which it refers, is damaged or missing: replace it') from error
        values = values.transpose(1, 2, 0)
        if self.palette is not None:
            valid = valid & (self.palette[values[..., 0], 3] > 0)
            values = self.palette[values[..., 0], :3]
        if values.dtype.kind == 'f':
            valid = valid & np.isfinite(values).all(axis=2)
        return values, valid

    def _read_valid(self, window: RasterWindow, shape: tuple, values: np.ndarray) -> np.ndarray:
        nodata = self.dataset.nodata if self.nodata is None else self.nodata
        valid = np.ones(shape, bool) if nodata is None else (values != nodata).any(axis=0)
        if self._alpha:
            # Not by read_masks: of float values GDAL does not recognise the alpha band as a mask.
            return valid & (self.dataset.read(self._alpha, window=window, out_shape=shape) > 0)
        if self.nodata is not None:
            return valid
        return self.dataset.read_masks(self.indexes, window=window, out_shape=(3, *shape)).any(axis=0)


class RasterPair(PairSource):
    """Two rasters on the grid of A.

    B is warped onto A's grid (bilinear) where CRS, pixel size or origin differ, window by window while it is read.

    Args:
        path_a: The earlier image. Its grid is that of the result.
        path_b: The later image.
        options: See :class:`~.pairs.ReadOptions`.

    Raises:
        FileNotFoundError: If one does not exist.
        ValueError: If one cannot be read, or they cannot be compared; the message says why.
    """

    is_raster = True
    _images: tuple[Any, Any]  # RasterImage, or what reads as one does

    def __init__(self, path_a: Path, path_b: Path, options: ReadOptions) -> None:
        check_value_range(options.value_range)
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
            with naming_files(path_a):
                a = RasterImage('A', path_a, options.bands, options.nodata, stack)
            with naming_files(path_b):
                b = RasterImage('B', path_b, options.bands_b or options.bands, options.nodata, stack)
            with naming_files(path_a, path_b, **{image.header: image.path for image in (a, b) if image.header}):
                self._prepare(path_a, path_b, a, b, options, stack)
            self._stack = stack.pop_all()

    def _prepare(self, path_a: Path, path_b: Path, a: RasterImage, b: RasterImage, options: ReadOptions,
                 stack: ExitStack) -> None:
        self.name = path_a.stem
        self._images = a, b
        self.origin = dict(a=file_origin(path_a), b=file_origin(path_b))
        grid = a.dataset
        self.height, self.width = grid.height, grid.width
        # A CRS without a place would make metres of pixels.
        self.transform = None if grid.transform.is_identity else grid.transform
        self.crs = None if self.transform is None else grid.crs
        self.notes = [f'{image.label}: {note}' for image in self._images for note in image.notes]
        if self.transform is not None and self.transform.determinant > 0:
            self.notes.append('A is stored mirrored (such as bottom row first); so are the results')
        oblong = describe_oblong(grid)
        if oblong and self.crs is not None:
            self.notes.append(f'A: {oblong}')
        if not same_grid(a.dataset, b.dataset):
            self.notes.append(describe_difference(a.dataset, b.dataset, coverage(a.dataset, b.dataset)))
            b.warp_to(a.dataset, stack)
        elif a.sample.shape == b.sample.shape and np.array_equal(a.sample, b.sample):
            self.notes.append('A and B hold the same values: are they two copies of one image?')
        if self.crs is None:
            self.notes.append(self._describe_no_place(grid))
        self._stretches = self._find_stretches(options)
        for image in self._images:
            del image.sample, image.sample_valid

    @staticmethod
    def _describe_no_place(grid: DatasetReader) -> str:
        lack, remedy = ('no CRS', how_to_assign(grid.name)) if grid.crs is None else (
            f'a CRS ({describe_crs(grid.crs)}), but neither origin nor pixel size', 'gdal_edit.py -a_ullr')
        return f'A and B have {lack}, so that areas, also that of --min-area, are in pixels ({remedy} assigns it)'

    def _find_stretches(self, options: ReadOptions) -> list[Stretch | None]:
        if options.value_range is None and all(image.dtype == 'uint8' for image in self._images):
            return [None, None]
        factor = -(-max(self.height, self.width) // SAMPLE_SIDE)
        whole = RasterWindow(0, 0, self.width, self.height)
        samples = [image.read(whole, factor, Resampling.nearest) for image in self._images]
        valid = samples[0][1] & samples[1][1]
        mixed = options.value_range is None and 'uint8' in {image.dtype for image in self._images}
        self._check_scales(options)
        stretches: list = []
        for image, (values, _) in zip(self._images, samples):
            value_range = options.value_range
            if mixed and is_8_bits_in_disguise(values, valid):
                value_range = (0, 255)
                self.notes.append(f'{image.label}: {image.dtype} values of 0..255 beside an 8-bit image are taken as '
                                  'they are (--value-range stretches them)')
            stretches.append(find_stretch(values, valid, value_range))
            if stretches[-1] is not None and value_range is options.value_range:
                self.notes.append(f'{image.label}: {image.dtype} values are stretched to 8 bits: {stretches[-1]}')
        return stretches

    def _check_scales(self, options: ReadOptions) -> None:
        """Refuse one range of values for both dates if their headers scale the values differently."""
        scales = [image.scaling for image in self._images]
        if options.value_range is not None and scales[0] != scales[1]:
            raise ValueError(
                f'--value-range {options.value_range[0]:g} {options.value_range[1]:g}: A and B have different scales '
                f'and offsets in their headers, {scales[0]} and {scales[1]}, so one range cannot fit both. Apply them '
                'first (gdal_translate -unscale -ot Float32), or leave the option out')

    def _tile(self, window: RasterWindow, factor: int = 1, resampling: Resampling = Resampling.nearest) -> PairTile:
        parts = []
        for image, stretch in zip(self._images, self._stretches):
            values, valid = image.read(window, factor, resampling)
            parts.append((values if stretch is None else stretch(values), valid))
        return PairTile(np.concatenate([part[0] for part in parts], axis=2), parts[0][1] & parts[1][1])

    def read(self, window: Window) -> PairTile:
        """One window at full resolution."""
        height, width = window.shape
        return self._tile(RasterWindow(window.columns.start, window.rows.start, width, height))

    def thumbnail(self, factor: int) -> PairTile:
        """The whole pair, smaller by a whole factor."""
        return self.shrink(Window(Span(0, self.height), Span(0, self.width)), factor)

    def shrink(self, window: Window, factor: int) -> PairTile:
        """One window, smaller by a whole factor."""
        height, width = window.shape
        return self._tile(RasterWindow(window.columns.start, window.rows.start, width, height), factor,
                          Resampling.average)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

