"""One connected Socket.IO client: what it may have under way at once, and what is on its way to it.

Each client has an outbox and a sender of its own, so that one that reads slowly delays nobody. One that does not read
at all is cut off; it can come back with `subscribe` and `after`, and has missed nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine

import structlog

from app.api.schemas import Json

log = structlog.get_logger(__name__)

MAX_UNDER_WAY = 32
"""Verbs of one client that may be under way at once; each beyond is answered with an error."""

RATE = 50.0
BURST = 100.0
"""Events a second (and at once) that a client may send. One that sends more is not refused but read more slowly."""

OUTBOX = 2_000
"""Events that may wait for a client. The whole timeline of one session (about 1,000 entries, 2 to 3 events each) is
replayed with backpressure, so only news of the moment can fill it."""

Emit = Callable[[str, Json], Awaitable[None]]


class Client:
    """`emit` hands one event to the transport, and waits while the client does not read. `cut` ends the connection."""

    def __init__(self, sid: str, emit: Emit, cut: Callable[[], None]) -> None:
        self.sid = sid
        self.lock = asyncio.Lock()  # subscribing and unsubscribing, one after the other
        self.under_way = 0
        self.by_default = True  # has not said yet what it wants to hear of
        self.closed = False
        self._emit = emit
        self._cut = cut
        self._outbox: asyncio.Queue[tuple[str, Json]] = asyncio.Queue(OUTBOX)
        self._tokens = BURST
        self._refilled = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self.spawn(self._send())

    def delay(self) -> float:
        """Seconds to wait before this client's next event is looked at; takes note of the event."""
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._refilled) * RATE) - 1
        self._refilled = now
        return max(0.0, -self._tokens / RATE)

    def push(self, name: str, data: Json) -> None:
        """Send an event, after those that wait. A client that has let too many wait is cut off."""
        try:
            self._outbox.put_nowait((name, data))
        except asyncio.QueueFull:
            log.warning("client_too_slow", client=self.sid)
            self._cut()

    async def send(self, name: str, data: Json) -> None:
        """As `push`, but waits for room, as long as the client is there."""
        if not self.closed:
            await asyncio.wait([self.spawn(self._outbox.put((name, data)))])

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` for as long as the client is connected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """The client is gone."""
        self.closed = True
        for task in list(self._tasks):
            task.cancel()

    async def _send(self) -> None:
        while True:
            await self._emit(*await self._outbox.get())
