"""One session on the replica that owns it: its socket, its deadlines, and its events, strictly one after the other.

The runner is level-triggered. Whatever happens, it compares the record with the socket it holds and does what the
record asks for; what the socket reports becomes a fenced write. It never assumes that a write went through: a stale one
ends the socket, a conflicting one is decided again on the new record.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from app.engine.base import (
    Closed,
    Engine,
    EngineError,
    EngineEvent,
    EngineSocket,
    LoggedIn,
    Paired,
    PasskeyDemanded,
    QrOffered,
)
from app.errors import StoreUnavailable
from app.metrics import Metrics
from app.model import RUNNING, Change, Event, Intent, Record, StaleEpoch, Status
from app.sessions import watcher
from app.sessions.attempt import STORE_PAUSE_S, Attempt, Listener
from app.sessions.guard import Guard
from app.sessions.hub import Hub, Position
from app.sessions.reasons import Reason
from app.sessions.timing import Timing
from app.store.auth import AuthStore
from app.store.sessions import Conflict, SessionStore, Stale, new_call

log = structlog.get_logger(__name__)

STABLE_S = 30.0
"""A connection that lasted so long ends the count of failed attempts; a shorter one does not, or a server that accepts
logins and drops them at once would be tried every second for ever."""

SETTLED_S = 60.0
"""A session that has just come online here is not moved to another replica yet."""

RESTART_REQUIRED = 515
"""WhatsApp's close code after pairing: open again with the same credentials."""

CONTEST_ENTRIES = 20
"""How far back in the timeline a claim is looked for: one long ago explains nothing."""

UNLINK_PATIENCE_S = 3.0
"""How long a reset session's old link is given to say goodbye to WhatsApp. The reset itself was over long before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every runner of a replica works with. `aside` runs a coroutine that nobody waits for."""

    replica: str
    store: SessionStore
    auth: AuthStore
    engine: Engine
    hub: Hub
    guard: Guard
    timing: Timing
    aside: Callable[[Coroutine[None, None, object]], None]
    metrics: Metrics = field(default_factory=Metrics)


class Runner:
    """Runs one session for as long as this replica owns it. `poke` it whenever the record may have changed."""

    def __init__(self, session: str, tools: Tools) -> None:
        self.session = session
        self.tools = tools
        self._record: Record | None = None
        self._clock_ms = 0.0  # Redis' clock minus this process' monotonic one
        self._attempt: Attempt | None = None
        self._inbox: asyncio.Queue[tuple[Attempt, EngineEvent]] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._outdated = True
        self._heard_of: Position = (0, 0)
        self._closing = False
        self._held = False
        self._restarts = 0
        self._before_login: tuple[int, str | None] = (0, None)

    def poke(self, position: Position | None = None) -> None:
        """The record may have changed; `position` is what is known of it, so that own writes are not read back."""
        if position is None:
            self._outdated = True
        else:
            self._heard_of = max(self._heard_of, position)
        self._wake.set()

    def _is_outdated(self) -> bool:
        """Whether there is something newer to read. Asked as late as can be: the notice of an own write comes at the
        same time as its answer."""
        known = (self._record.epoch, self._record.seq) if self._record else (0, 0)
        return self._outdated or self._heard_of > known

    @property
    def settled(self) -> bool:
        """Whether the session has been online for longer than SETTLED_S."""
        attempt = self._attempt
        if attempt is None or attempt.logged_in_at is None:
            return False
        return time.monotonic() - attempt.logged_in_at > SETTLED_S

    def close(self) -> None:
        """Let go of the session: close the socket, write that nobody owns it, and end."""
        self._closing = True
        self._wake.set()

    def post(self, attempt: Attempt, event: EngineEvent) -> None:
        """An event of one of this runner's sockets."""
        self._inbox.put_nowait((attempt, event))
        self._wake.set()

    async def run(self) -> None:
        """Return when the session is no longer this replica's to run."""
        try:
            while await self._turn():
                pass
        finally:
            self._discard_socket(unlink=False)
            self.tools.guard.gone(self.session)

    def nudge(self) -> None:
        """Something outside the record changed: look whether it is time to try."""
        self._wake.set()

    # One turn: look, then do what the record asks, else wait for news.

    async def _turn(self) -> bool:
        try:
            if self._is_outdated():
                await self._refresh()
            record = self._record
            if record is None or record.owner != self.tools.replica or record.status not in RUNNING:
                self._discard_socket(unlink=self._link_is_gone(record))
                return self._is_outdated()
            if self._attempt is not None and self._attempt.epoch != record.epoch:
                self._discard_socket(unlink=self._link_is_gone(record))
            if self._closing:
                await self._release(record)
            elif not await self._act(record):
                await self._wait(record)
        except StoreUnavailable:
            self._outdated = True
            await asyncio.sleep(STORE_PAUSE_S)
        return True

    async def _act(self, record: Record) -> bool:
        """Do the next thing. False: there is nothing to do but wait."""
        if not self._inbox.empty():
            attempt, event = self._inbox.get_nowait()
            if attempt is self._attempt:
                await self._on_event(record, event)
        elif record.intent is Intent.STOP:
            await self._stop(record)
        elif record.intent is Intent.LOGOUT and self._can_log_out(record):
            await self._log_out(record)
        elif _due(record.deadline_at, self._now()):
            await self._give_up(record)
        elif self._attempt is None and self._may_try(record):
            await self._try(record)
        else:
            return False
        return True

    async def _wait(self, record: Record) -> None:
        """Until something happens or the nearest of the record's times comes."""
        times = [record.deadline_at, record.intent_deadline_at if record.intent else None]
        if self._attempt is None:
            times.append(watcher.next_try_at(record))
            if self._held:
                times.append(self._now() + round(self.tools.guard.wait_s(self.session) * 1000))
        nearest = min((at for at in times if at is not None), default=None)
        timeout = None if nearest is None else max(0.0, (nearest - self._now()) / 1000)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        self._wake.clear()

    # What the record asks for.

    def _may_try(self, record: Record) -> bool:
        if self._held and self.tools.guard.wait_s(self.session) == 0.0:
            return True  # sooner than the record says
        retry_at = watcher.next_try_at(record)
        return retry_at is None or _due(retry_at, self._now())

    async def _try(self, record: Record) -> None:
        guard = self.tools.guard
        self._held = record.status in watcher.GUARDED and not record.intent and guard.wait_s(self.session) > 0.0
        if self._held:
            await self._apply(record, watcher.held(record, guard.tripped))
        else:
            await self._connect(record)

    async def _connect(self, record: Record) -> None:
        match record.status:
            case Status.RECONNECTING:
                await self._apply(record, watcher.resume(record, self.tools.timing))
            case Status.QR | Status.CONNECTED:
                # The record speaks of a socket that this runner does not hold: it was lost unseen.
                await self._lost(record, Closed(None, "the socket was lost"), Reason.ENGINE)
            case _:
                await self._open(record)

    async def _open(self, record: Record) -> None:
        attempt = self._attempt = Attempt(record.epoch)
        try:
            # Read in any case: it is the fence without which one that slept through a logout would open a socket.
            stored = await self.tools.auth.read(self.session, epoch=record.epoch, fields=["creds"])
            creds = None if record.status is Status.STARTING else stored.get("creds")
            attempt.socket = await self.tools.engine.open(
                self.session, record.epoch, creds, Listener(self.session, attempt, self.tools.auth, self.post)
            )
        except StaleEpoch:
            self._outdated = True
            self._forget_socket()
        except StoreUnavailable:
            self._forget_socket()
            raise
        except EngineError as error:
            await self._lost(record, Closed(None, str(error)), Reason.ENGINE)

    async def _give_up(self, record: Record) -> None:
        """The time for this status is over."""
        # The socket may be in the middle of a write. Under the same epoch, that could fall between the next socket's.
        change = replace(watcher.on_deadline(record, self.tools.timing), bump=True)
        if record.status in watcher.LINKED:
            self.tools.guard.failed(self.session, change.reason)
        await self._apply(record, change)
        self._discard_socket(unlink=False)

    async def _stop(self, record: Record) -> None:
        await self._close_socket()
        await self._apply(record, watcher.stopped(record))

    def _can_log_out(self, record: Record) -> bool:
        """Now, because WhatsApp can be told, or need not be, or the time for it is over; else a login is awaited."""
        if record.status in (Status.STARTING, Status.QR, Status.CONNECTED):
            return True
        return _due(record.intent_deadline_at, self._now())

    async def _log_out(self, record: Record) -> None:
        socket = self._attempt.socket if self._attempt else None
        unlinked = False
        if record.status is Status.CONNECTED and socket is not None and record.intent_deadline_at is not None:
            unlinked = await self._unlink(socket, (record.intent_deadline_at - self._now()) / 1000)
            self._forget_socket()
            if not unlinked and not _due(record.intent_deadline_at, self._now()):
                # Another login tells: WhatsApp refuses it if it did hear the request, else it is asked again.
                await self._lost(record, Closed(None, "WhatsApp did not answer the logout"), Reason.CONNECTION_LOST)
                return
        else:
            await self._close_socket()
        await self._apply(record, watcher.logged_out(record, unlinked=unlinked))

    async def _release(self, record: Record) -> None:
        """Let go in an orderly way: the socket is closed before anybody else may open one."""
        await self._close_socket()
        await self._apply(record, watcher.released(record, self.tools.timing))

    # What the socket reports.

    async def _on_event(self, record: Record, event: EngineEvent) -> None:
        match event:
            case Closed():
                self.tools.metrics.closed(event.code)
                await self._lost(record, event)
            case QrOffered():
                await self._apply(record, watcher.on_qr(record, event))
            case Paired():
                await self._apply(record, watcher.on_paired(record, event, self.tools.timing))
            case PasskeyDemanded() if record.status in watcher.LINKED:
                log.warning("passkey_demanded_of_a_link", session=self.session)  # no reason to throw a link away
            case PasskeyDemanded():
                await self._apply(record, watcher.on_passkey(record, event))
            case LoggedIn():
                if self._attempt is not None:
                    self._attempt.logged_in_at = time.monotonic()
                self._before_login = (record.attempt, record.reason)
                self._restarts = 0
                self.tools.guard.answered(self.session)
                await self._apply(record, watcher.on_login(record, event))

    async def _lost(self, record: Record, event: Closed, reason: Reason | None = None) -> None:
        attempt, previous = record.attempt, record.reason
        logged_in_at = self._attempt.logged_in_at if self._attempt else None
        if logged_in_at is not None and time.monotonic() - logged_in_at < STABLE_S:
            attempt, previous = self._before_login
        contested = event.code == watcher.REPLACED and await self._is_contested(record)
        lost = watcher.lost(
            record, event, attempt=attempt, previous=previous, restarts=self._restarts, contested=contested
        )
        self._restarts = self._restarts + 1 if event.code == RESTART_REQUIRED else 0
        self._forget_socket()
        change = watcher.on_lost(lost, record, self.tools.timing, reason)
        if lost.linked and change.event is not Event.RESTART:
            self.tools.guard.failed(self.session, change.reason)
        await self._apply(record, change)

    async def _is_contested(self, record: Record) -> bool:
        try:
            newest = await self.tools.store.timeline_tail(self.session, limit=CONTEST_ENTRIES)
        except StoreUnavailable:
            return False
        return watcher.contested(record, newest)

    # Writing and reading.

    async def _apply(self, record: Record, change: Change) -> None:
        """Write a change that was decided on `record`. It is a fact already (a socket closed, a code came), so it waits
        for Redis as long as that takes; a stale one is dropped."""
        call = new_call()
        while True:
            try:
                answer = await self.tools.store.advance(
                    self.session, epoch=record.epoch, seq=record.seq, change=change, call=call
                )
            except StoreUnavailable:
                await asyncio.sleep(STORE_PAUSE_S)
                continue
            match answer:
                case Record():
                    self._know(answer)
                    self.tools.hub.wrote(answer)
                    return
                case Stale():
                    self._outdated = True
                    return
                case Conflict(current):
                    # Somebody asked for something in between (an intent); the fact still stands if it still can.
                    self._know(current)
                    still = watcher.over(change, record, current)
                    if still is None:
                        return
                    call = new_call()
                    record, change = current, still

    async def _refresh(self) -> None:
        self._outdated, self._heard_of = False, (0, 0)
        reading = await self.tools.store.read(self.session)
        self._record = reading.record if reading else None
        if reading is not None:
            self._clock_ms = reading.now - time.monotonic() * 1000

    def _know(self, record: Record) -> None:
        self._record = record
        self._clock_ms = record.updated_at - time.monotonic() * 1000

    def _now(self) -> int:
        """Redis' clock, in milliseconds, as far as this process knows it."""
        return int(self._clock_ms + time.monotonic() * 1000)

    # The socket.

    def _link_is_gone(self, record: Record | None) -> bool:
        """Whether the credentials of the socket were cleared for good, so that WhatsApp should forget the device too.
        (Another owner or another epoch alone does not mean that: the link may live on elsewhere.)"""
        attempt = self._attempt
        if attempt is None or attempt.logged_in_at is None:
            return False
        return record is None or record.cleared > attempt.epoch

    async def _close_socket(self) -> None:
        """Close it in an orderly way: it reports nothing any more, and what it has still to write is written."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None and attempt.socket is not None:
            await attempt.socket.close()
            attempt.over.set()

    def _discard_socket(self, *, unlink: bool) -> None:
        """Have the socket closed, without waiting: what comes next does not depend on it."""
        attempt = self._forget_socket()
        if attempt is not None and attempt.socket is not None:
            end = self._unlink(attempt.socket, UNLINK_PATIENCE_S) if unlink else attempt.socket.close()
            self.tools.aside(end)

    async def _unlink(self, socket: EngineSocket, patience_s: float) -> bool:
        try:
            async with asyncio.timeout(max(0.1, patience_s)):
                return await socket.logout()
        except (EngineError, TimeoutError) as error:
            log.warning("unlink_unconfirmed", session=self.session, error=str(error) or "no answer in time")
            await socket.close()
            return False

    def _forget_socket(self) -> Attempt | None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.over.set()
        return attempt


def _due(at: int | None, now: int) -> bool:
    return at is not None and at <= now
