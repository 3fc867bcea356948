"""QR codes (ISO/IEC 18004) of a text, with error correction L: what `app.qr` draws.

The package `qrcode` knows the standard's tables and patterns, and takes 5 ms for one code, because it works bit by bit.
Here it is asked once for each size of code, and a code takes 0.3 ms: the bits of all codewords become one number, and
one lookup puts them into their places.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, zip_longest
from operator import itemgetter

from qrcode.base import gexp, glog, rs_blocks
from qrcode.constants import ERROR_CORRECT_L
from qrcode.main import QRCode

QUIET_ZONE = 4

# Every mask is valid, and trying all eight to choose one takes longer than everything else; this one is as readable.
MASK = 4

_BYTE_MODE = 0b0100
_PADDING = b"\xec\x11"
_LARGEST = 40


def encode(text: str) -> tuple[bytes, ...]:
    """The rows of the code, quiet zone included, a byte a module: 1 where it is dark. Raises ValueError when the text
    is longer than any code holds (2,953 bytes)."""
    data = text.encode()
    frame = _frame(_version_for(len(data)))
    blocks, at = [], 0
    content = frame.content(data)
    for size in frame.block_sizes:
        blocks.append(content[at : at + size])
        at += size
    corrections = [frame.correction(block) for block in blocks]
    words = [word for column in chain(zip_longest(*blocks), zip(*corrections, strict=True)) for word in column]
    codewords = bytes(word for word in words if word is not None)
    bits = int.from_bytes(codewords) << frame.spare_bits ^ frame.mask
    modules = bytes(frame.place(b"\x00\x01" + format(bits, f"0{frame.bits}b").encode().translate(_DIGITS)))
    return tuple(modules[row : row + frame.width] for row in range(0, len(modules), frame.width))


_DIGITS = bytes.maketrans(b"01", b"\x00\x01")


@dataclass(frozen=True, slots=True)
class _Frame:
    """All that codes of one size have in common. `place` takes a light module, a dark one and the bits of the codewords
    in their order, and gives all modules in theirs. `mask`: which of those bits are to be inverted."""

    count_bits: int
    block_sizes: tuple[int, ...]
    correction_size: int
    factors: tuple[int, ...]
    width: int
    bits: int
    spare_bits: int
    mask: int
    place: Callable[[bytes], tuple[int, ...]]

    def content(self, data: bytes) -> bytes:
        """The codewords that carry `data`: its length in front, padding behind."""
        head = _BYTE_MODE << self.count_bits | len(data)
        # The four bits of the end mark fill the last byte, whatever the length.
        whole = (head << 8 * len(data) | int.from_bytes(data)) << 4
        content = whole.to_bytes(len(data) + (4 + self.count_bits + 4) // 8)
        room = sum(self.block_sizes) - len(content)
        return content + (_PADDING * (room // 2 + 1))[:room]

    def correction(self, block: bytes) -> bytes:
        """The block's error correction codewords: the remainder of its division by the generator polynomial."""
        top = 8 * (self.correction_size - 1)
        rest, low = 0, (1 << top) - 1
        for word in block:
            rest = (rest & low) << 8 ^ self.factors[rest >> top ^ word]
        return rest.to_bytes(self.correction_size)


@functools.cache
def _version_for(size: int) -> int:
    for version in range(1, _LARGEST + 1):
        room = sum(block.data_count for block in rs_blocks(version, ERROR_CORRECT_L))
        if size + (4 + _count_bits(version) + 4) // 8 <= room:
            return version
    raise ValueError(f"{size} bytes are more than a QR code holds")


def _count_bits(version: int) -> int:
    return 8 if version < 10 else 16


@functools.cache
def _frame(version: int) -> _Frame:
    blocks = rs_blocks(version, ERROR_CORRECT_L)
    correction_size = blocks[0].total_count - blocks[0].data_count
    patterns = _Patterns(version)
    free = _in_order(patterns.modules)
    bit_of = {place: number for number, place in enumerate(free, 2)}
    QRCode.map_data(patterns, [], MASK)  # no data: what it sets is the mask
    size, dark = patterns.modules_count, patterns.modules
    inside = range(QUIET_ZONE, QUIET_ZONE + size)
    width = size + 2 * QUIET_ZONE
    sources = [
        bit_of.get((row - QUIET_ZONE, column - QUIET_ZONE), int(bool(dark[row - QUIET_ZONE][column - QUIET_ZONE])))
        if row in inside and column in inside
        else 0
        for row in range(width)
        for column in range(width)
    ]
    return _Frame(
        count_bits=_count_bits(version),
        block_sizes=tuple(block.data_count for block in blocks),
        correction_size=correction_size,
        factors=_factors(correction_size),
        width=width,
        bits=len(free),
        spare_bits=len(free) - 8 * sum(block.total_count for block in blocks),
        mask=int("".join("1" if dark[row][column] else "0" for row, column in free), 2),
        place=itemgetter(*sources),
    )


class _Patterns(QRCode):  # type: ignore[type-arg]
    """A code of one size with its patterns and nothing else: what data will fill is None."""

    def __init__(self, version: int) -> None:
        super().__init__(version, ERROR_CORRECT_L)
        self.data_cache = []
        self.makeImpl(False, MASK)

    def map_data(self, data: object, mask_pattern: int) -> None:
        """Nothing."""


def _in_order(modules: list[list[bool | None]]) -> list[tuple[int, int]]:
    """The places (row, column) of data: up and down in pairs of columns, from the right; column 6 belongs to none."""
    size = len(modules)
    places, rows = [], range(size - 1, -1, -1)
    for right in range(size - 1, 0, -2):
        pair = (right, right - 1) if right > 6 else (right - 1, right - 2)
        places += [(row, column) for row in rows for column in pair if modules[row][column] is None]
        rows = rows[::-1]
    return places


def _factors(size: int) -> tuple[int, ...]:
    """The generator polynomial of degree `size` times each of the 256 words, without its first coefficient."""
    generator = [1]
    for power in range(size):
        shifted = [_times(coefficient, gexp(power)) for coefficient in generator]
        generator = [a ^ b for a, b in zip([*generator, 0], [0, *shifted], strict=True)]
    return tuple(
        int.from_bytes(bytes(_times(word, coefficient) for coefficient in generator[1:])) for word in range(256)
    )


def _times(a: int, b: int) -> int:
    """Product in the field of 256 elements that QR codes use."""
    return gexp(glog(a) + glog(b)) if a and b else 0
