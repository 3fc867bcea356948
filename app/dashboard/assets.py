"""The files of the page, held in memory: about a dozen, about 100 KB together."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from app.sessions.reasons import ACTIONS, REASONS

STATIC = Path(__file__).parent / "static"

SOCKET_IO = "socket.io.esm.min.js"
_SOCKET_IO_IN_NPM = Path("node_modules", "socket.io-client", "dist", SOCKET_IO)

REASONS_FILE = "reasons.json"

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent. `etag` is quoted, as the header wants it."""

    body: bytes
    media_type: str
    etag: str


def load(static: Path = STATIC) -> dict[str, Asset]:
    """Every file of the page by its name, with the two that do not lie in `static`: the Socket.IO client from npm
    (left out when it is not installed) and the words for reasons and next actions."""
    assets = {path.name: _asset(path.name, path.read_bytes()) for path in sorted(static.iterdir()) if path.is_file()}
    assets[REASONS_FILE] = _asset(REASONS_FILE, reasons_json())
    client = find_socket_io(static)
    if client is not None:
        assets[SOCKET_IO] = _asset(SOCKET_IO, client.read_bytes())
    return assets


def find_socket_io(start: Path) -> Path | None:
    """The browser build of `socket.io-client`, looked for as Node does: in the `node_modules` of each folder above."""
    for folder in start.resolve().parents:
        candidate = folder / _SOCKET_IO_IN_NPM
        if candidate.is_file():
            return candidate
    return None


def reasons_json() -> bytes:
    """The table of `app.sessions.reasons` for the page, so that its words have one source."""
    reasons = {reason.value: {"detail": it.detail, "next_action": it.next_action} for reason, it in REASONS.items()}
    return json.dumps({"reasons": reasons, "actions": ACTIONS}).encode()


def _asset(name: str, body: bytes) -> Asset:
    digest = hashlib.sha256(body).hexdigest()[:20]
    return Asset(body=body, media_type=_MEDIA_TYPES[Path(name).suffix], etag=f'"{digest}"')
