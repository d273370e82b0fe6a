"""Image files drawn by hypothesis from the parts that a format is made of, where damage to bytes rarely gets."""
import io
import struct
import warnings
import zlib
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from PIL import Image

from ...io.formats import PNG_START
from .mutations import NUMBERS

SMALL = st.integers(1, 40)
# Mostly possible sizes, so that most files get past the header.
SIDES = st.one_of(SMALL, SMALL, SMALL, st.sampled_from([0, 255, 4096, 60000, 0x7FFFFFFF, 0xFFFFFFFF]))


def png_files() -> SearchStrategy[bytes]:
    """PNG of any header, with any order of parts, whose checksums are right; most have as many pixels as they say."""

    def build(width: int, height: int, depth: int, colour: int, interlace: int, seed: int, wrong: int, extra: list,
              end: bytes) -> bytes:
        channels = {2: 3, 4: 2, 6: 4}.get(colour, 1)
        row = 1 + -(-width * channels * depth // 8)  # a byte for the filter first
        pixels = zlib.compress(_noise(max(0, min(row * height, 40000) + wrong), seed))
        parts = [_part(kind, content) for kind, content in extra] + [_part(b'IDAT', pixels)]
        if colour == 3:
            parts.insert(0, _part(b'PLTE', bytes(range(18))))
        header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, interlace)
        return PNG_START + _part(b'IHDR', header) + b''.join(parts) + end

    # Pairs of depth and colour type that there are (PNG specification, table 11.1), and others.
    depth = st.sampled_from([1, 2, 4, 8, 8, 8, 16, 16, 3, 0])
    extra = st.tuples(
        st.sampled_from([
            b'PLTE', b'tRNS', b'gAMA', b'eXIf', b'pHYs', b'acTL', b'tEXt', b'zTXt', b'iCCP', b'sRGB', b'IHDR', b'IDAT',
            b'abcd'
        ]), st.binary(max_size=48))
    return st.builds(build, SIDES, SIDES, depth, st.sampled_from([0, 0, 2, 2, 3, 4, 6, 6, 1, 9]),
                     st.sampled_from([0, 0, 0, 0, 1, 7]), st.integers(0, 255), st.sampled_from([0, 0, 0, -7, 5]),
                     st.one_of(st.just([]), st.lists(extra, max_size=4)),
                     st.sampled_from([_part(b'IEND', b''), _part(b'IEND', b''), b'']))


def _part(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, 'big') + kind + content + zlib.crc32(kind + content).to_bytes(4, 'big')


def _noise(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 5, size, dtype=np.uint8).tobytes()


def jpeg_files(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """JPEG whose segments are left out, repeated, shuffled and filled anew."""

    def build(seed: bytes, order: list[int], new: list[tuple[int, bytes]], tail: int) -> bytes:
        segments, scan = _segments(seed)
        chosen = [segments[index % len(segments)] for index in order] or segments
        made = [bytes([0xFF, marker]) + struct.pack('>H', len(content) + 2) + content for marker, content in new]
        return b'\xff\xd8' + b''.join(made + chosen) + scan[:len(scan) - tail]

    marker = st.sampled_from([0xE0, 0xE1, 0xE2, 0xC0, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD, 0xEE, 0xFE])
    exif = st.binary(max_size=40).map(lambda rest: b'Exif\0\0II*\0' + rest)
    frame = st.builds(lambda h, w, n: struct.pack('>BHHB', 8, h & 0xFFFF, w & 0xFFFF, n) + bytes(range(3 * n)), SIDES,
                      SIDES, st.integers(0, 5))
    return st.builds(build, st.sampled_from(list(seeds)),
                     st.one_of(st.just([]), st.lists(st.integers(0, 9), max_size=8)),
                     st.lists(st.tuples(marker, st.one_of(st.binary(max_size=32), exif, frame)), max_size=3),
                     st.integers(0, 60))


def _segments(content: bytes) -> tuple[list[bytes], bytes]:
    """The segments before the scan, and the scan with its header (ITU T.81, B.1)."""
    found, place = [], 2
    while content[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(content[place + 2:place + 4], 'big')
        found.append(content[place:end])
        place = end
    return found, content[place:]


# Tags of TIFF 6.0 and GeoTIFF 1.1 that decide how pixels are read or where they lie.
_TAGS = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347,
         33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 0: 1, 99: 1}


def tiff_files() -> SearchStrategy[bytes]:
    """TIFF whose directory is complete, but for what is drawn to replace or join its entries."""

    def build(width: int, height: int, samples: int, bits: int, order: str, drawn: list, body: bytes) -> bytes:
        row = width * samples * max(1, bits // 8)
        usual = {
            256: width,
            257: height,
            258: bits,
            259: 1,
            262: 2 if samples > 2 else 1,
            273: 8,
            277: samples,
            278: max(1, min(height, 60000)),
            279: min(row * height, 1 << 31)
        }
        entries = {tag: (4, 1, struct.pack(f'{order}I', value & 0xFFFFFFFF)) for tag, value in usual.items()}
        entries.update({tag: (kind, count, value) for tag, kind, count, value in drawn})
        pixels = (body + bytes(min(row * height, 20000)))[:20000]
        pixels += bytes(len(pixels) % 2)
        directory = struct.pack(f'{order}H', len(entries))
        extra = b''
        after = 8 + len(pixels) + 2 + 12 * len(entries) + 4
        for tag, (kind, count, value) in sorted(entries.items()):
            size = _TYPE_SIZES[kind] * count
            if size > 4:
                place = struct.pack(f'{order}I', after + len(extra))
                extra += (value * (size // max(1, len(value)) + 1))[:size] if size < 4096 else value
            else:
                place = (value + bytes(4))[:4]
            directory += struct.pack(f'{order}HHI', tag, kind, count & 0xFFFFFFFF) + place
        start = b'II*\0' if order == '<' else b'MM\0*'
        return start + struct.pack(f'{order}I', 8 + len(pixels)) + pixels + directory + bytes(4) + extra

    values = st.one_of(
        st.binary(min_size=1, max_size=24),
        st.sampled_from(NUMBERS[:13]).map(lambda number: struct.pack('<I', number)),
        st.integers(0, 10).map(lambda number: struct.pack('<I', number)),
        st.lists(st.floats(width=64), min_size=1,
                 max_size=6).map(lambda floats: struct.pack(f'<{len(floats)}d', *floats)))
    entry = st.tuples(st.sampled_from(_TAGS), st.sampled_from(list(_TYPE_SIZES)),
                      st.one_of(st.integers(0, 16), st.sampled_from([1, 1, 3, 6, 0xFFFF, 0x40000000, 0xFFFFFFFF])),
                      values)
    return st.builds(build, SIDES, SIDES, st.sampled_from([1, 3, 3, 4, 0, 2, 9]),
                     st.sampled_from([8, 8, 16, 32, 1, 64, 0]), st.sampled_from('<>'), st.lists(entry, max_size=4),
                     st.binary(max_size=64))


def label_files() -> SearchStrategy[bytes]:
    """Labels of any type and any few values, as PNG and TIFF, with palettes and transparency."""
    shape = st.tuples(SMALL, SMALL)
    kinds = st.sampled_from(['uint8', 'uint8', 'bool', 'uint16', 'int16', 'int32', 'float32', 'float64', 'uint32'])
    values = st.lists(st.one_of(st.sampled_from([0, 1, 255]), st.integers(-300, 70000), st.floats()),
                      min_size=1,
                      max_size=4)

    def build(shape: tuple[int, int], kind: str, values: list, mode: str, palette: bytes, clear: bytes,
              suffix: str) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)  # values that the type does not hold
            array = np.resize(np.array(values, np.float64), shape).astype(kind)
        target, options = io.BytesIO(), {}
        try:
            if mode == 'native':
                image = Image.fromarray(array)
            else:
                image = Image.fromarray(array.astype(np.uint8)).convert(mode)
            if mode == 'P':
                image.putpalette(palette)
            if clear and suffix == 'PNG' and mode in ('P', 'L'):
                options = dict(transparency=clear if mode == 'P' else clear[0])
            image.save(target, suffix, **options)
        except (TypeError, OSError, KeyError, ValueError):  # what Pillow cannot write
            Image.fromarray(array.astype(np.uint8)).save(target, suffix)
        return target.getvalue()

    modes = st.sampled_from(['native', 'native', 'P', 'RGB', 'RGBA', 'LA', '1', 'L', 'CMYK'])
    return st.builds(build, shape, kinds, values, modes,
                     st.binary(min_size=3, max_size=768).map(lambda colours: colours[:len(colours) // 3 * 3]),
                     st.binary(max_size=8), st.sampled_from(['PNG', 'PNG', 'TIFF']))
