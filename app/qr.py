"""Draws QR codes: PNG, SVG, and text for a terminal.

A WhatsApp code is about 240 to 300 characters of text in a square of some 65 modules. Every drawing has the quiet zone
of four modules that the standard asks for.
"""

import base64
import struct
import zlib
from dataclasses import dataclass

from app.qr_code import encode

# One module is one byte in a PNG of one bit a pixel, which makes a row a plain byte string.
_PNG_SCALE = 8


@dataclass(frozen=True, slots=True)
class QrImage:
    """The modules of one code, quiet zone included: `rows[y][x]` is 1 where it is dark."""

    rows: tuple[bytes, ...]

    def png(self) -> bytes:
        """A black and white PNG, eight pixels a module."""
        size = len(self.rows) * _PNG_SCALE
        to_pixels = bytes([0xFF, 0x00])  # module 0 (light) → eight white pixels, 1 (dark) → eight black ones
        table = to_pixels + bytes(254)
        lines = b"".join((b"\x00" + row.translate(table)) * _PNG_SCALE for row in self.rows)
        header = struct.pack(">IIBBBBB", size, size, 1, 0, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 4)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)

    def svg(self) -> str:
        """An SVG without a size of its own: one unit a module, drawn as one path of horizontal runs."""
        size = len(self.rows)
        path = "".join(f"M{x} {y}h{length}v1h-{length}z" for y, row in enumerate(self.rows) for x, length in _runs(row))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
            f'<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path d="{path}"/></svg>\n'
        )

    def terminal(self) -> str:
        """Half-block characters, two modules a character, light modules drawn: right on a dark terminal."""
        blocks = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
        rows = [*self.rows, bytes([1]) * len(self.rows)]  # the number of rows is odd; what is below the last is unlit
        lines = (
            "".join(blocks[pair] for pair in zip(rows[y], rows[y + 1], strict=True)) for y in range(0, len(rows) - 1, 2)
        )
        return "\n".join(lines) + "\n"

    def data_url(self) -> str:
        """The PNG as a `data:` URL, for the `src` of an image."""
        return "data:image/png;base64," + base64.b64encode(self.png()).decode("ascii")


def draw(text: str) -> QrImage:
    """The code that says `text`. Raises ValueError when that is longer than any code holds (2,953 bytes)."""
    return QrImage(encode(text))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _runs(row: bytes) -> list[tuple[int, int]]:
    """(start, length) of each run of dark modules."""
    runs = []
    start = row.find(1)
    while start >= 0:
        end = row.find(0, start)  # the quiet zone ends every run
        runs.append((start, end - start))
        start = row.find(1, end)
    return runs
