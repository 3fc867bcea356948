"""What can be asked of a session: the use cases behind every face of Relink.

Each call reaches Redis and returns; none waits for another replica without a bound. The owner of a session learns of it
through the record, never through this service.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from app.errors import NoCapacity, NoQrCode, SessionFailed, SessionNotFound
from app.model import CLEARED, DEFAULT_SESSION, RUNNING, SOCKET, Intent, Record, Status, Transition
from app.sessions import qr, watcher
from app.sessions.deadline import Deadline
from app.sessions.hub import Hub, Notice, Position
from app.sessions.placement import Placement
from app.sessions.qr import QrCode
from app.sessions.reasons import Reason, explain
from app.sessions.timing import Timing
from app.store.sessions import Reading, SessionStore

LOOK_AGAIN_S = 5.0
"""Notices of changes can be lost with a connection to Redis: whoever waits looks for himself this often."""

OWNER_GRACE_S = 0.5
"""What the owner is given beyond its own deadline before the asking replica ends the matter itself."""

TIMELINE_PAGE = 500


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """How a logout ended. `unlinked`: WhatsApp was told, and the close was seen; `was_linked`: there was a link."""

    record: Record
    unlinked: bool
    was_linked: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some sessions, by id; `next` is the `after` of the following page, None on the last."""

    records: list[Record]
    next: str | None


@dataclass(frozen=True, slots=True)
class Update:
    """News of one session: `record` as it stands after the newest of `transitions`; None: deleted."""

    record: Record | None
    transitions: list[Transition]


class SessionService:
    """The use cases. Every method raises InvalidSessionId for an id that cannot be one, and StoreUnavailable."""

    def __init__(self, *, store: SessionStore, hub: Hub, placement: Placement, timing: Timing, qr_wait: float) -> None:
        self._store = store
        self._hub = hub
        self._placement = placement
        self._timing = timing
        self._qr_wait = qr_wait

    # Reading

    async def get(self, session: str) -> Record:
        """The record. Raises SessionNotFound."""
        return (await self._read(session)).record

    async def page(self, after: str = "", limit: int = 100, prefix: str = "") -> Page:
        """Up to `limit` sessions whose id is greater than `after` and begins with `prefix`."""
        ids = await self._store.page(after=after, limit=limit, prefix=prefix)
        readings = await self._store.read_many(ids)
        records = [reading.record for reading in readings if reading is not None]
        return Page(records, ids[-1] if len(ids) == limit else None)

    async def timeline(self, session: str, after: int = 0, limit: int = 100) -> list[Transition]:
        """Up to `limit` entries after number `after`, oldest first. Raises SessionNotFound."""
        await self._read(session)
        return await self._store.timeline(session, after=after, limit=limit)

    async def timeline_tail(self, session: str, limit: int = 100) -> list[Transition]:
        """The newest `limit` entries, oldest first. Raises SessionNotFound."""
        await self._read(session)
        return await self._store.timeline_tail(session, limit=limit)

    async def current_qr(self, session: str) -> QrCode:
        """The code on offer now. Raises SessionNotFound, NoQrCode."""
        reading = await self._read(session)
        code = qr.offered(reading)
        if code is None:
            status = reading.record.status
            why = "the last one has expired." if status is Status.QR else explain(reading.record).detail
            action = "wait" if status in (Status.STARTING, Status.QR) else None
            raise NoQrCode(f"No QR code is on offer: {why}", session=session, next_action=action)
        return code

    async def follow(self, session: str, after: int | None = None) -> AsyncGenerator[Update, None]:
        """The session as it stands, then every change of it, each transition once and in order; ends with its deletion.

        `after`: begin with the timeline entries after that number; None: with none. Raises SessionNotFound.
        """
        with self._hub.watch(session) as watch:
            record = (await self._read(session)).record
            seen = min(after, record.seq) if after is not None else record.seq
            yield Update(record, await self._entries(session, seen, record.seq))
            while True:
                await watch.wait(_position(record), LOOK_AGAIN_S)
                reading = await self._store.read(session)
                if reading is None or reading.record.created_at != record.created_at:
                    yield Update(None, [])
                    return
                if reading.record.seq > record.seq:
                    entries = await self._entries(session, record.seq, reading.record.seq)
                    record = reading.record
                    yield Update(record, entries)

    # Acting

    async def start(self, session: str) -> Record:
        """Start the session, with its link if it has one. One that is live already answers as it is. Raises
        NoCapacity."""
        self._store.check_id(session)
        try:
            owner = await self._placement.place(session)
        except NoCapacity:
            reading = await self._store.read(session)
            if reading is None or reading.record.status not in SOCKET or not reading.record.owner:
                raise
            return reading.record
        started = await self._store.start(
            session, owner=owner, starting_in_ms=self._timing.start_ms, connecting_in_ms=self._timing.connect_ms
        )
        self._hub.wrote(started.record)
        self._placement.started(started.record)
        return started.record

    async def generate_qr(self, session: str, wait: float | None = None) -> QrCode:
        """Start the session if need be and wait up to `wait` seconds for its QR code.

        Raises AlreadyLinked, SessionFailed (it failed meanwhile; says why), QrTimeout.
        """
        deadline = Deadline(self._qr_wait if wait is None else wait)
        with self._hub.watch(session) as watch:
            reading = await self._store.read(session)
            if reading is None or qr.must_start(reading.record):
                await self.start(session)
                reading = await self._read(session)
            while (code := qr.offered(reading)) is None:
                if (error := qr.refusal(reading.record)) is not None:
                    raise error
                if deadline.passed:
                    raise qr.too_late(reading.record)
                before = reading.record
                await watch.wait(_position(before), min(deadline.left, LOOK_AGAIN_S))
                reading = await self._read(session)
                if before.status is Status.CONNECTING and reading.record.status is Status.LOGGED_OUT:
                    # The old link had been ended behind Relink's back; the caller asks for a new one.
                    await self.start(session)
                    reading = await self._read(session)
            return code

    async def force_reset(self, session: str) -> Record:
        """Clear everything, from any status, with nobody's help but Redis'. Raises SessionNotFound."""
        record = await self._store.reset(session, create=session == DEFAULT_SESSION)
        if record is None:
            raise _not_found(session)
        self._hub.wrote(record)
        return record

    async def stop(self, session: str) -> Record:
        """Go offline and keep the link. Raises SessionNotFound. A session that does not run stays as it is."""
        record = (await self._read(session)).record
        if record.status not in RUNNING:
            return record
        return await self._ask_owner(session, Intent.STOP, self._timing.stop_ms)

    async def logout(self, session: str) -> LoggedOut:
        """Unlink at WhatsApp, then clear; clear anyway when WhatsApp cannot be told in time. Raises
        SessionNotFound, SessionFailed (it was started again meanwhile)."""
        before = (await self._read(session)).record
        if before.status in CLEARED:
            return LoggedOut(before, unlinked=False, was_linked=False)
        was_linked = watcher.has_link(before)
        if was_linked and before.status not in RUNNING:
            await self.start(session)  # WhatsApp is told through a socket, so somebody must hold one
        record = await self._ask_owner(session, Intent.LOGOUT, self._timing.logout_ms)
        if record.status in RUNNING:
            raise SessionFailed(
                "Somebody started the session while it was being logged out.", session=session, next_action="logout"
            )
        return LoggedOut(record, unlinked=was_linked and record.reason == Reason.API_LOGOUT, was_linked=was_linked)

    async def delete(self, session: str) -> None:
        """Remove the session and all that is known of it. Raises SessionNotFound."""
        record = (await self._read(session)).record
        if not await self._store.delete(session):
            raise _not_found(session)
        self._hub.publish(Notice(session, (record.epoch, record.seq + 1), record.owner, deleted=True))

    # Helpers

    async def _ask_owner(self, session: str, intent: Intent, patience_ms: int) -> Record:
        """Write what is wanted into the record and wait for its owner to do it; do it without him when he does not."""
        deadline = Deadline(patience_ms / 1000 + OWNER_GRACE_S)
        with self._hub.watch(session) as watch:
            record = await self._store.request(session, intent, deadline_in_ms=patience_ms)
            if record is None:
                raise _not_found(session)
            self._hub.wrote(record)
            while record.intent is intent:
                if intent is Intent.STOP and record.status not in RUNNING:
                    break  # it ended by itself meanwhile
                if record.status not in RUNNING or deadline.passed:
                    record = await self._end_without_owner(record, intent)
                    continue
                await watch.wait(_position(record), min(deadline.left, LOOK_AGAIN_S))
                record = (await self._read(session)).record
            return record

    async def _end_without_owner(self, record: Record, intent: Intent) -> Record:
        if intent is Intent.STOP:
            change = replace(watcher.stopped(record), bump=True)  # the owner may only be asleep: fence it
        else:
            change = watcher.logged_out(record, unlinked=False)
        answer = await self._store.advance(record.id, epoch=record.epoch, seq=record.seq, change=change)
        if isinstance(answer, Record):
            self._hub.wrote(answer)
            return answer
        return (await self._read(record.id)).record

    async def _entries(self, session: str, after: int, until: int) -> list[Transition]:
        """The timeline entries after number `after` up to `until`, as far back as they are kept."""
        entries: list[Transition] = []
        while after < until:
            page = await self._store.timeline(session, after=after, limit=TIMELINE_PAGE)
            entries += [entry for entry in page if entry.seq <= until]
            if len(page) < TIMELINE_PAGE:
                break
            after = page[-1].seq
        return entries

    async def _read(self, session: str) -> Reading:
        reading = await self._store.read(session)
        if reading is None:
            raise _not_found(session)
        return reading


def _position(record: Record) -> Position:
    return (record.epoch, record.seq)


def _not_found(session: str) -> SessionNotFound:
    return SessionNotFound(f"There is no session {session!r}. Starting it creates it.", session=session)
