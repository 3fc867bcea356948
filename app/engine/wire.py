"""What goes over the wire to the bridge: JSON lines, as `docs/wire.md` describes them. Pure, no I/O."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.engine.base import Closed, EngineEvent, LoggedIn, Paired, PasskeyDemanded, QrOffered

PROTOCOL = 1

MAX_LINE = 16 * 1024 * 1024
"""Bytes. The longest honest line has the 812 pre-keys of a link, about 120 kB."""

Message = dict[str, object]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no message. Its text is not kept: it may hold anything, keys included."""

    reason: str
    length: int


def encode(message: Mapping[str, object]) -> bytes:
    """One line. Raises ValueError when it would be longer than the other side accepts."""
    line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE:
        raise ValueError("message too long for the wire")
    return line


def decode(line: bytes) -> Message | BadLine:
    """The message in a line (with or without its newline)."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return BadLine("not JSON", len(line))
    if not isinstance(message, dict):
        return BadLine("not an object", len(line))
    return message


class Splitter:
    """Cuts a byte stream into messages. A line above the cap is skipped, and reported once."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[Message | BadLine]:
        """The messages that end in `chunk`, and what was wrong with lines that are none."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield from self._keep(part)
            if not self._skipping:
                yield decode(b"".join(self._parts))
            self._parts, self._size, self._skipping = [], 0, False
        yield from self._keep(rest)

    def _keep(self, part: bytes) -> Iterator[BadLine]:
        if self._skipping or not part:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._max_line:
            self._parts, self._skipping = [], True
            yield BadLine("too long", self._size)


def event_of(message: Message) -> EngineEvent | None:
    """The engine event that a message about a socket is; None for one that is not, or lacks a field."""
    match message:
        case {"event": "qr", "text": str(text), "ttl_ms": int(ttl), "number": int(number), "limit": int(limit)}:
            return QrOffered(text, ttl, number, limit)
        case {"event": "paired", "jid": str(jid)}:
            return Paired(jid, _text(message.get("name")), _text(message.get("platform")))
        case {"event": "open", "jid": str(jid)}:
            return LoggedIn(jid, _text(message.get("name")), _text(message.get("platform")))
        case {"event": "passkey"}:
            return PasskeyDemanded()
        case {"event": "closed", "code": int() | None as code, "message": str(text)}:
            return Closed(code, text)
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
