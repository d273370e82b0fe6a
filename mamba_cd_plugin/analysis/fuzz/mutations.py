"""Damage to the bytes of valid files, drawn from a seed."""
import random
import struct
import zlib
from collections.abc import Callable, Sequence

from ...io.formats import PNG_START

# Numbers at which readers go wrong: the ends of the integer types, zero, and sizes that nobody has the memory for.
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40,
           (1 << 63) - 1, (1 << 64) - 1)
# struct's letters of unsigned integers by their size in bytes.
INTEGERS = {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}
HEAD = 256  # bytes in which most formats keep what decides about the rest
MAX_STEPS = 4
_LOCAL, _CENTRAL = b'PK\x03\x04', b'PK\x01\x02'  # zip file format specification (APPNOTE), 4.3.7 and 4.3.12


def mutate(seeds: Sequence[bytes], draw: random.Random) -> bytes:
    """One of the seeds with one to :data:`MAX_STEPS` pieces of damage.

    Args:
        seeds: Contents of valid files of one kind.
        draw: Decides.
    """
    content = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, MAX_STEPS)):
        draw.choice(STEPS)(content, draw)
        if draw.random() < 0.05:
            splice(content, draw.choice(seeds), draw)
    return bytes(content)


def _place(content: bytearray, draw: random.Random) -> int:
    """Anywhere, but as often within the head as in all the rest."""
    return draw.randrange(min(len(content), HEAD) if draw.random() < 0.5 else len(content)) if content else 0


def flip_bit(content: bytearray, draw: random.Random) -> None:
    """Change one bit."""
    if content:
        content[_place(content, draw)] ^= 1 << draw.randrange(8)


def set_byte(content: bytearray, draw: random.Random) -> None:
    """Change one byte."""
    if content:
        content[_place(content, draw)] = draw.randrange(256)


def set_number(content: bytearray, draw: random.Random) -> None:
    """Put a number from :data:`NUMBERS` somewhere, of any size and byte order."""
    size = draw.choice(tuple(INTEGERS))
    number = draw.choice(NUMBERS) % (1 << 8 * size)
    place = _place(content, draw)
    content[place:place + size] = struct.pack(draw.choice('<>') + INTEGERS[size], number)


def cut_off(content: bytearray, draw: random.Random) -> None:
    """Lose the end."""
    del content[_place(content, draw):]


def drop(content: bytearray, draw: random.Random) -> None:
    """Lose a part."""
    place = _place(content, draw)
    del content[place:place + draw.randint(1, 64)]


def repeat(content: bytearray, draw: random.Random) -> None:
    """Have a part twice."""
    place = _place(content, draw)
    content[place:place] = content[place:place + draw.randint(1, 64)]


def insert(content: bytearray, draw: random.Random) -> None:
    """Have random bytes somewhere."""
    place = _place(content, draw)
    content[place:place] = draw.randbytes(draw.randint(1, 16))


def blank(content: bytearray, draw: random.Random) -> None:
    """Have zeros somewhere, as a disk that lost a block."""
    place = _place(content, draw)
    stop = min(len(content), place + draw.choice((8, 64, 512, 4096)))
    content[place:stop] = bytes(stop - place)


def splice(content: bytearray, other: bytes, draw: random.Random) -> None:
    """Have a part of another file in the place of the own."""
    start = draw.randrange(len(other)) if other else 0
    part = other[start:start + draw.randint(1, 512)]
    place = _place(content, draw)
    content[place:place + len(part)] = part


STEPS: tuple[Callable[[bytearray, random.Random], None],
             ...] = (flip_bit, set_byte, set_number, set_number, cut_off, drop, repeat, insert, blank)


def mend_png(content: bytes) -> bytes:
    """A PNG with right checksums, so that damage gets past them to the decoder."""
    if not content.startswith(PNG_START):
        return content
    mended, place = bytearray(content), len(PNG_START)
    while place + 12 <= len(mended):
        end = place + 8 + int.from_bytes(mended[place:place + 4], 'big')
        if end + 4 > len(mended):
            break
        mended[end:end + 4] = zlib.crc32(mended[place + 4:end]).to_bytes(4, 'big')
        place = end + 4
    return bytes(mended)


def mend_zip(content: bytes) -> bytes:
    """A zip of stored files with right checksums in its directory, which is what torch compares."""
    mended = bytearray(content)
    place = content.find(_CENTRAL)
    while place >= 0 and place + 46 <= len(mended):
        size, = struct.unpack_from('<I', mended, place + 20)
        start, = struct.unpack_from('<I', mended, place + 42)
        if mended[start:start + 4] == _LOCAL and start + 30 <= len(mended):
            start += 30 + sum(struct.unpack_from('<HH', mended, start + 26))
            struct.pack_into('<I', mended, place + 16, zlib.crc32(mended[start:start + size]))
        place = content.find(_CENTRAL, place + 4)
    return bytes(mended)
