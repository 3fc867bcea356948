"""A QR code in every format says the same, is the one on offer, and is never kept by a cache."""

import base64
import io
import re
import struct
import zlib
from typing import Any

import httpx
import pytest
import zxingcpp

from app.engine.base import QrOffered
from app.model import Event
from tests.support.face import Face

GREY = 128


def read_code(pixels: list[bytes]) -> str:
    """What a QR code of grey pixels says."""
    image = memoryview(b"".join(pixels)).cast("B", (len(pixels), len(pixels[0])))
    codes = zxingcpp.read_barcodes(image)
    assert len(codes) == 1, "no code to be read, or several"
    text: str = codes[0].text
    return text


def scaled(modules: list[list[int]], scale: int = 4) -> list[bytes]:
    rows = []
    for row in modules:
        rows += [bytes(0 if dark else 255 for dark in row for _ in range(scale))] * scale
    return rows


def png_pixels(png: bytes) -> list[bytes]:
    """Rows of grey pixels of a one-bit PNG without filters, read by hand: an image library would be for this alone."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    stream, header, data = io.BytesIO(png[8:]), b"", b""
    while True:
        (length,) = struct.unpack(">I", stream.read(4))
        kind, chunk = stream.read(4), stream.read(length)
        assert zlib.crc32(kind + chunk) == struct.unpack(">I", stream.read(4))[0]
        if kind == b"IHDR":
            header = chunk
        elif kind == b"IDAT":
            data += chunk
        elif kind == b"IEND":
            break
    width, height, depth, color = struct.unpack(">IIBB", header[:10])
    assert (depth, color) == (1, 0)
    raw, stride = zlib.decompress(data), width // 8 + 1
    rows = []
    for y in range(height):
        line = raw[y * stride : (y + 1) * stride]
        assert line[0] == 0
        rows.append(bytes(255 if line[1 + x // 8] >> (7 - x % 8) & 1 else 0 for x in range(width)))
    return rows


def svg_modules(svg: str) -> list[list[int]]:
    """The modules that the SVG's path draws."""
    found = re.search(r'viewBox="0 0 (\d+) \1"', svg)
    assert found
    size = int(found[1])
    modules = [[0] * size for _ in range(size)]
    background, path = re.findall(r' d="([^"]+)"', svg)
    assert background == f"M0 0h{size}v{size}H0z"
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path)
    assert "".join(f"M{x} {y}h{n}v1h-{n}z" for x, y, n in runs) == path
    for x, y, length in runs:
        for at in range(int(x), int(x) + int(length)):
            modules[int(y)][at] = 1
    return modules


def terminal_modules(text: str) -> list[list[int]]:
    """The modules as a dark terminal shows them: what is drawn is light."""
    halves = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    rows: list[list[int]] = []
    for line in text.rstrip("\n").split("\n"):
        rows += [[halves[character][half] for character in line] for half in (0, 1)]
    return rows


def says(answer: httpx.Response) -> str:
    """What the code in an answer of any format says."""
    kind = answer.headers["content-type"].split(";")[0]
    if kind == "image/png":
        return read_code(png_pixels(answer.content))
    if kind == "image/svg+xml":
        return read_code(scaled(svg_modules(answer.text)))
    if kind == "text/plain":
        return read_code(scaled(terminal_modules(answer.text)))
    url: str = answer.json()["data_url"]
    assert answer.json()["text"] == read_code(png_pixels(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
    text: str = answer.json()["text"]
    return text


WISHES: list[tuple[dict[str, Any], str]] = [
    ({}, "application/json"),
    ({"headers": {"accept": "image/png"}}, "image/png"),
    ({"headers": {"accept": "image/svg+xml, image/png;q=0.5"}}, "image/svg+xml"),
    ({"headers": {"accept": "text/*"}}, "text/plain"),
    ({"params": {"format": "png"}, "headers": {"accept": "text/plain"}}, "image/png"),
    ({"params": {"format": "svg"}}, "image/svg+xml"),
    ({"params": {"format": "txt"}}, "text/plain"),
    ({"params": {"format": "json"}}, "application/json"),
]


@pytest.mark.parametrize(
    "call", [("POST", "/generate-qr"), ("POST", "/sessions/default/qr"), ("GET", "/sessions/default/qr")]
)
async def test_every_format_says_the_same(face: Face, call: tuple[str, str]) -> None:
    code = (await face.http.post("/generate-qr")).json()
    for asked, kind in WISHES:
        answer = await face.http.request(*call, **asked)
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] == kind
        assert says(answer) == code["text"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["relink-session"] == "default"
        assert answer.headers["relink-qr-id"] == code["qr_id"]
        assert answer.headers["relink-qr-expires-at"] == code["expires_at"]


async def test_json_tells_which_code_it_is(face: Face) -> None:
    first = (await face.http.post("/generate-qr")).json()
    assert set(first) == {"session", "qr_id", "text", "data_url", "expires_at", "attempt", "limit"}
    assert (first["session"], first["attempt"], first["limit"]) == ("default", 1, 6)
    follow = face.relink.service.follow("default")
    await anext(follow)
    face.engine.next_code("default")
    assert (await anext(follow)).transitions[-1].event is Event.QR
    await follow.aclose()
    second = (await face.http.get("/sessions/default/qr")).json()
    assert second["attempt"] == 2
    assert second["text"] != first["text"]
    assert second["qr_id"] != first["qr_id"]


async def test_what_cannot_be_had_starts_nothing(face: Face) -> None:
    before = await face.records()
    impossible = await face.http.post("/generate-qr", headers={"accept": "video/mp4, image/*;q=0"})
    assert impossible.status_code == 406
    unknown = await face.http.post("/generate-qr", params={"format": "gif"})
    assert unknown.status_code == 422
    assert face.engine.counts["opens"] == 0
    assert await face.records() == before


async def test_reading_a_code_starts_nothing(face: Face) -> None:
    answer = await face.http.get("/sessions/default/qr")
    assert answer.status_code == 404
    assert (answer.json()["code"], answer.json()["next_action"]) == ("no_qr_code", "generate_qr")
    assert face.engine.counts["opens"] == 0


@pytest.mark.invariant("I8")
async def test_an_expired_code_is_not_handed_out(face: Face) -> None:
    """The code on offer has run out by Redis' clock, and the next one has not come."""
    await face.http.post("/generate-qr")
    follow = face.relink.service.follow("default")
    await anext(follow)
    face.engine.sockets["default"].tell(QrOffered("https://wa.me/short", 1, 2, 6))
    await anext(follow)
    await follow.aclose()
    answer = await face.http.get("/sessions/default/qr")
    assert answer.status_code == 404
    assert answer.json()["code"] == "no_qr_code"
