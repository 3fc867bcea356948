"""An engine in memory: a tiny WhatsApp without network, for unit tests. It does what it is told, and nothing by chance.

    engine = MemoryEngine()
    socket = await engine.open("default", 1, None, listener)    # the listener is offered a QR code
    await engine.scan(text_of_the_code)                         # … is told `Paired`, then `Closed(515)`

Events are delivered as by the real engine: in order, from a task of the socket's own, auth writes before what follows.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Self

import structlog

from app.engine.base import (
    Closed,
    EngineError,
    EngineEvent,
    LoggedIn,
    Paired,
    PasskeyDemanded,
    QrOffered,
    SocketListener,
    StaleEpoch,
)

log = structlog.get_logger(__name__)

LOGGED_OUT = Closed(401, "Stream Errored (conflict)")
REFUSED = "Connection Failure"
REPLACED = Closed(440, "Stream Errored (conflict)")
RESTART_REQUIRED = Closed(515, "Stream Errored (restart required)")
QR_ENDED = Closed(408, "QR refs attempts ended")
CUT = Closed(428, "Connection Terminated")
BAD_CREDENTIALS = Closed(500, "stored credentials cannot be read")

FIRST_QR_MS = 60_000
NEXT_QR_MS = 20_000

Write = Mapping[str, str | None]


class MemorySocket:
    """An `EngineSocket`. Tests reach it as `MemoryEngine.sockets[session]`."""

    def __init__(self, engine: "MemoryEngine", session: str, epoch: int, listener: SocketListener) -> None:
        self.session = session
        self.epoch = epoch
        self.jid: str | None = None
        self.logged_in = False
        self.codes = 0
        self._engine = engine
        self._listener = listener
        self._quiet = False
        self._inbox: asyncio.Queue[EngineEvent | Write | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(), name=f"memory socket {session} {epoch}")

    def tell(self, *items: EngineEvent | Write) -> None:
        """Have events delivered, and fields (a mapping) written, in this order."""
        for item in items:
            self._inbox.put_nowait(item)

    async def settled(self) -> None:
        """Return when everything told so far was delivered, or the socket is gone."""
        joined = asyncio.create_task(self._inbox.join())
        await asyncio.wait({joined, self._task}, return_when=asyncio.FIRST_COMPLETED)
        joined.cancel()

    async def close(self) -> None:
        self._quiet = True
        self._engine.drop(self)
        self._inbox.put_nowait(None)
        if asyncio.current_task() is not self._task:
            await asyncio.wait({self._task}, timeout=self._engine.drain_s)
            self._task.cancel()

    async def logout(self) -> bool:
        if self._quiet or self._task.done():
            self._quiet = True
            return False
        if self._engine.hung:
            await self.close()
            raise EngineError("the engine did not answer `logout`")
        sent = self.logged_in and self.jid is not None
        if sent and self.jid is not None:
            self._engine.unlink(self.jid)
        await self.close()
        return sent

    async def pairing_code(self, phone: str) -> str:
        if self._quiet or self._task.done():
            raise EngineError("the socket is gone")
        if self.jid is not None:
            raise EngineError("already linked")
        if not phone.isdecimal():
            raise EngineError("phone must be digits, with the country code")
        return self._engine.make_pairing_code(self)

    async def _run(self) -> None:
        while (item := await self._inbox.get()) is not None:
            try:
                if isinstance(item, Mapping):
                    await self._listener.write_auth(item)
                else:
                    self._deliver(item)
            except StaleEpoch:
                return self._end(Closed(None, "the epoch is stale"))
            except Exception as error:
                log.error("listener_failed", session=self.session, error=type(error).__name__)  # noqa: TRY400
                if isinstance(item, Mapping) and "creds" in item:
                    return self._end(Closed(None, f"credentials could not be stored: {type(error).__name__}"))
            finally:
                self._inbox.task_done()
            if isinstance(item, Closed):
                self._engine.drop(self)
                return None
        return None

    def _end(self, closed: Closed) -> None:
        self._engine.drop(self)
        self._deliver(closed)

    def _deliver(self, event: EngineEvent) -> None:
        if not self._quiet:
            self._listener.on_event(event)


class MemoryEngine:
    """An `Engine` and the WhatsApp behind it.

    sockets     the open ones, by session (of two for one session, the newer)
    devices     jids that are linked
    unlinked    jids that clients asked to unlink, in order
    counts      what happened: `registrations`, `logins`, `opens`
    silent      WhatsApp takes connections and says nothing: no QR code, no login
    hung        the engine itself does not answer: `open` and `logout` raise EngineError
    login_code  close code that logins are refused with, None: they are accepted
    passkey     a scan is answered by a demand for a passkey
    """

    def __init__(self, *, qr_limit: int = 6, drain_s: float = 1.0) -> None:
        self.sockets: dict[str, MemorySocket] = {}
        self.devices: set[str] = set()
        self.unlinked: list[str] = []
        self.counts: Counter[str] = Counter()
        self.silent = False
        self.hung = False
        self.login_code: int | None = None
        self.passkey = False
        self.drain_s = drain_s
        self._qr_limit = qr_limit
        self._codes: dict[str, MemorySocket] = {}
        self._numbers = count(1)
        self._open: set[MemorySocket] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for socket in list(self._open):
            await socket.close()

    async def open(self, session: str, epoch: int, creds: str | None, listener: SocketListener) -> MemorySocket:
        self.counts["opens"] += 1
        if self.hung:
            raise EngineError("the engine did not answer `open`")
        socket = MemorySocket(self, session, epoch, listener)
        self._open.add(socket)
        self.sockets[session] = socket
        if creds is not None:
            self._log_in(socket, creds)
        elif not self.silent:
            self.counts["registrations"] += 1
            self.next_code(session)
        return socket

    # What a test does.

    def next_code(self, session: str) -> None:
        """The code on offer runs out: the next one is offered, or after the last one the socket closes with 408."""
        socket = self.sockets[session]
        if socket.codes == self._qr_limit:
            socket.tell(QR_ENDED)
            return
        socket.codes += 1
        text = f"https://wa.me/settings/linked_devices#2@memory{next(self._numbers)},noise,identity,adv,1"
        self._codes[text] = socket
        socket.tell(QrOffered(text, FIRST_QR_MS if socket.codes == 1 else NEXT_QR_MS, socket.codes, self._qr_limit))

    async def scan(self, code: str, jid: str | None = None) -> str:
        """A phone scans a QR text, or its owner types a pairing code. Returns the jid of the new device when the
        session was told. Raises KeyError for a code that was never on offer, EngineError when nobody offers it now."""
        socket = self._codes[code]
        if socket not in self._open:
            raise EngineError("the client that showed this code is gone")
        if self.passkey:
            socket.tell(PasskeyDemanded())
            await socket.settled()
            return ""
        jid = jid or f"15550001001:{next(self._numbers)}@s.whatsapp.net"
        self.devices.add(jid)
        socket.jid = jid
        creds = json.dumps({"me": {"id": jid}, "account": {}})
        socket.tell({"creds": creds}, Paired(jid, None, "android"), RESTART_REQUIRED)
        await socket.settled()
        return jid

    async def phone_logout(self, jid: str) -> None:
        """The phone removes the device."""
        self.devices.discard(jid)
        await self.close_device(jid, LOGGED_OUT)

    async def close_device(self, jid: str, closed: Closed = CUT) -> None:
        """WhatsApp or the network ends the device's socket."""
        for socket in [socket for socket in self._open if socket.jid == jid]:
            socket.tell(closed)
            await socket.settled()

    async def close_session(self, session: str, closed: Closed = CUT) -> None:
        """The same for a session, linked or not."""
        socket = self.sockets[session]
        socket.tell(closed)
        await socket.settled()

    async def die(self) -> None:
        """The engine loses all its sockets at once, as when a bridge process dies."""
        for socket in list(self._open):
            socket.tell(Closed(None, "bridge process died"))
            await socket.settled()

    async def write(self, session: str, values: Write) -> None:
        """The session's client changes its auth state, as Baileys may at any time. Returns when that was dealt with."""
        socket = self.sockets[session]
        socket.tell(values)
        await socket.settled()

    # What sockets do.

    def drop(self, socket: MemorySocket) -> None:
        self._open.discard(socket)
        if self.sockets.get(socket.session) is socket:
            del self.sockets[socket.session]

    def unlink(self, jid: str) -> None:
        self.devices.discard(jid)
        self.unlinked.append(jid)

    def make_pairing_code(self, socket: MemorySocket) -> str:
        code = f"{next(self._numbers):08d}"
        self._codes[code] = socket
        return code

    def _log_in(self, socket: MemorySocket, creds: str) -> None:
        try:
            jid = socket.jid = str(json.loads(creds)["me"]["id"])
        except (ValueError, KeyError, TypeError):
            socket.tell(BAD_CREDENTIALS)
            return
        if self.silent:
            return
        self.counts["logins"] += 1
        if self.login_code is not None:
            socket.tell(Closed(self.login_code, REFUSED))
        elif jid not in self.devices:
            socket.tell(Closed(401, REFUSED))
        else:
            for other in [other for other in self._open if other.jid == jid and other is not socket]:
                other.tell(REPLACED)
            socket.logged_in = True
            socket.tell({"creds": creds, "pre-key-1": "{}"}, LoggedIn(jid, None, "android"))
