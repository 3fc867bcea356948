"""What Relink asks of whatever speaks WhatsApp, and what it is told in return.

A socket belongs to one session and one epoch, and is never reopened: another try is another socket. Credentials and
keys are opaque text here; field names are those in Redis (`creds`, `pre-key-1`, `session-…`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.model import StaleEpoch

__all__ = [
    "Closed",
    "Engine",
    "EngineError",
    "EngineEvent",
    "EngineSocket",
    "LoggedIn",
    "Paired",
    "PasskeyDemanded",
    "QrOffered",
    "SocketListener",
    "StaleEpoch",
]


@dataclass(frozen=True, slots=True)
class QrOffered:
    """A QR code to show. `ttl_ms` from now; it is code `number` (from 1) of `limit` that this socket will offer."""

    text: str
    ttl_ms: int
    number: int
    limit: int


@dataclass(frozen=True, slots=True)
class Paired:
    """The phone scanned the code and the credentials of the link were written. A `Closed` with 515 follows."""

    jid: str
    name: str | None
    platform: str | None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """WhatsApp accepted the login: the session is online."""

    jid: str
    name: str | None
    platform: str | None


@dataclass(frozen=True, slots=True)
class PasskeyDemanded:
    """WhatsApp wants a passkey before it links. Baileys 7.0.0-rc14 cannot give one."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The socket is gone; nothing follows. Delivered after every earlier auth write of the socket was answered.

    code     WhatsApp's or Baileys' close code; None when there was none (network error, bridge died)
    message  Baileys' text, or the engine's own
    """

    code: int | None
    message: str


EngineEvent = QrOffered | Paired | LoggedIn | PasskeyDemanded | Closed


class EngineError(Exception):
    """The engine could not do what was asked: it is gone, did not answer in time, or refused."""


class SocketListener(Protocol):
    """Whom one socket tells. Implemented by `app.sessions.supervisor`.

    Raising StaleEpoch ends the socket, with a last `Closed(None, …)`; so does any other error when `creds` were to be
    written. Another error refuses that one read or write.
    """

    def on_event(self, event: EngineEvent) -> None:
        """Called in the order of things, from the event loop; must not block."""

    async def read_auth(self, fields: Sequence[str]) -> Mapping[str, str]:
        """The fields that exist. Raises StaleEpoch. Waits while Redis is away."""

    async def write_auth(self, values: Mapping[str, str | None]) -> None:
        """Writes all in one step; None deletes. Raises StaleEpoch. Waits while Redis is away."""


class EngineSocket(Protocol):
    """One socket, open or opening. Each call is bounded in time by the engine."""

    async def close(self) -> None:
        """Close without unlinking, and return when it is gone. Never raises; a second call does nothing.
        After it, the listener hears nothing more (no `Closed` either)."""

    async def logout(self) -> bool:
        """Ask WhatsApp to unlink this device, then close. True: the request was sent and the close seen. False: it
        could not be sent (socket not open). Raises EngineError when the engine does not answer. As after `close`,
        the listener hears nothing more."""

    async def pairing_code(self, phone: str) -> str:
        """An eight-character code to type on the phone `phone` (digits) instead of scanning. Raises EngineError."""


class Engine(Protocol):
    """Opens sockets. Entered and left as an async context manager by the service's lifespan."""

    async def open(self, session: str, epoch: int, creds: str | None, listener: SocketListener) -> EngineSocket:
        """Start opening a socket; returns as soon as the engine took it on. `creds` is the `creds` field, None to
        register anew. Raises EngineError when the engine cannot take it on in time (policy: as a network error)."""

    async def __aenter__(self) -> "Engine": ...

    async def __aexit__(self, *exc_info: object) -> None: ...
