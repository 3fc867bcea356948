"""Session records: read them, change them. Each change is one Lua script, so that it happens whole or not at all."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import structlog

from app.metrics import Metrics
from app.model import Change, Event, Intent, Record, Status, Transition
from app.store import timeline
from app.store.client import RedisClient
from app.store.keys import Keys, glob_escape
from app.store.scripts import INTEGERS

log = structlog.get_logger(__name__)

_NAMES = frozenset(field.name for field in fields(Record)) - {"id"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A record, and Redis' clock (ms) at the moment it was read."""

    record: Record
    now: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The epoch moved on, or the session is gone. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The epoch holds, but something else happened first: read `record` and decide again. Nothing was written."""

    record: Record


@dataclass(frozen=True, slots=True)
class Started:
    """`fresh` False: the session was live already and is unchanged."""

    record: Record
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    kind: str
    now: int
    record: Record | None

    def must(self) -> Record:
        assert self.record is not None, f"script answered {self.kind} without a record"
        return self.record


class SessionStore:
    """All methods raise StoreUnavailable when Redis is not to be had, and InvalidSessionId for what is not an id."""

    def __init__(self, client: RedisClient, keys: Keys, metrics: Metrics | None = None) -> None:
        self._client = client
        self._keys = keys
        self._metrics = metrics or Metrics()

    def check_id(self, id: str) -> None:
        """Raises InvalidSessionId for what is not one; for callers that do something else first."""
        self._keys.member(id)

    # Reading

    async def read(self, id: str) -> Reading | None:
        """One round trip. A QR code that has expired is left out of the record."""
        answer = _parse(id, await self._client.script("read", [self._keys.record(id)], []))
        return Reading(answer.record, answer.now) if answer.record else None

    async def read_many(self, ids: Sequence[str]) -> list[Reading | None]:
        """As `read` for each, in the order given, in two round trips (a few more on a cluster)."""
        if not ids:
            return []
        # The clock after the records: a QR code is never taken for alive because the clock was read too early.
        flats = await self._client.pipeline([("HGETALL", self._keys.record(id)) for id in ids])
        now = (await self._client.script("read", [self._keys.record(ids[0])], []))[1]
        pairs = zip(ids, flats, strict=True)
        return [Reading(_record(id, flat, int(now)), int(now)) if flat else None for id, flat in pairs]

    async def page(self, *, after: str = "", limit: int = 100, prefix: str = "") -> list[str]:
        """Ids of sessions in lexical order, those after `after`, that begin with `prefix`; fewer than `limit` only at
        the end."""
        found: list[str] = []
        while len(found) < limit:
            wanted = limit - len(found)
            low = f"({after}" if after and after >= prefix else f"[{prefix}" if prefix else "-"
            high = f"({prefix}\x7f" if prefix else "+"
            ids = await self._client.execute("ZRANGEBYLEX", self._keys.sessions, low, high, "LIMIT", 0, wanted)
            if not ids:
                break
            exists = await self._client.pipeline([("EXISTS", self._keys.record(id)) for id in ids])
            found += [id for id, there in zip(ids, exists, strict=True) if there]
            for id in (id for id, there in zip(ids, exists, strict=True) if not there):
                await self._unregister(id)
            after = ids[-1]
        return found

    async def count(self) -> int:
        """How many sessions there are (for an instant perhaps one too many: see `_register`)."""
        return int(await self._client.execute("ZCARD", self._keys.sessions))

    async def timeline(self, id: str, *, after: int = 0, limit: int = 100) -> list[Transition]:
        """Entries with a sequence number above `after`, oldest first."""
        return await timeline.read(self._client, self._keys.timeline(id), after=after, limit=limit)

    async def timeline_tail(self, id: str, *, limit: int) -> list[Transition]:
        """The newest entries, oldest of them first."""
        return await timeline.tail(self._client, self._keys.timeline(id), limit=limit)

    # Changing

    async def ensure(self, id: str) -> Record:
        """The record; an idle one is created if there is none."""
        return (await self._creating("ensure", id)).must()

    async def start(
        self, id: str, *, owner: str, starting_in_ms: int, connecting_in_ms: int, note: str | None = None
    ) -> Started:
        """Start, or resume if there are credentials, with `owner` responsible. Creates the session if need be."""
        answer = await self._creating("start", id, owner, starting_in_ms, connecting_in_ms, note or "")
        started = Started(answer.must(), fresh=answer.kind == "started")
        if started.fresh:
            event = Event.START if started.record.status is Status.STARTING else Event.RESUME
            self._written(event, started.record, note)
        return started

    async def advance(
        self, id: str, *, epoch: int, seq: int, change: Change, call: str | None = None
    ) -> Record | Stale | Conflict:
        """Do `change`, if nothing happened since the caller read (epoch, seq). Raises ScriptRefused for a change that
        breaks a rule of the record (`lua/advance.lua` has them).

        `call`: from `new_call`, for whoever repeats it after StoreUnavailable: what was done already is not done again.
        """
        answer = await self._run("advance", id, epoch, seq, _encode(change), call=call)
        if answer.kind == "stale":
            return Stale()
        if answer.kind == "conflict":
            return Conflict(answer.must())
        self._written(change.event, answer.must(), change.note)
        return answer.must()

    async def claim(
        self,
        id: str,
        *,
        expected_owner: str,
        expected_epoch: int,
        owner: str,
        deadline_in_ms: int,
        note: str | None = None,
    ) -> Record | Stale:
        """Make `owner` responsible, if owner and epoch are still those expected and the session should run."""
        answer = await self._run("claim", id, expected_owner, expected_epoch, owner, deadline_in_ms, note or "")
        if answer.kind != "ok":
            return Stale()
        event = Event.CLAIM_UNLINKED if answer.must().status is Status.STARTING else Event.CLAIM
        self._written(event, answer.must(), note)
        return answer.must()

    async def reset(self, id: str, *, create: bool = False, note: str | None = None) -> Record | None:
        """Back to idle from any status, auth state removed, everybody fenced out. None: no such session."""
        answer = await self._run("reset", id, "", note or "")
        if answer.record is None and create:  # only now: a Redis with full memory resets, but registers nothing
            answer = await self._creating("reset", id, "1", note or "")
        if answer.record is not None:
            self._written(Event.RESET, answer.record, note)
        return answer.record

    async def request(self, id: str, intent: Intent, *, deadline_in_ms: int) -> Record | None:
        """Ask the owner for something. None: no such session."""
        record = (await self._run("request", id, intent.value, deadline_in_ms)).record
        if record is not None and record.intent is intent:
            self._written(Event(f"{intent}_requested"), record, None)
        return record

    async def delete(self, id: str) -> bool:
        """Remove the session with its auth state and timeline. False: no such session."""
        reading = await self.read(id)
        if reading is not None:
            # 'unknown' is success as well: a call whose answer was lost did it, or somebody else.
            await self._run("delete", id, reading.record.created_at)
        await self._unregister(id)
        return reading is not None

    def _written(self, event: Event, record: Record, note: str | None) -> None:
        """Count and log a transition that this replica wrote."""
        self._metrics.transition(event, record.reason)
        facts = {"owner": record.owner, "reason": record.reason, "code": record.code, "note": note}
        log.info(
            "transition",
            session=record.id,
            epoch=record.epoch,
            seq=record.seq,
            happened=event.value,
            status=record.status.value,
            **{name: value for name, value in facts.items() if value},
        )

    # The registry lies in another slot than the session, so no script can keep the two together. What holds instead:
    # an id is registered before its record exists and again after; whoever unregisters an id looks at the record
    # afterwards and registers it again if there is one. Then, whatever the order of things, a record is registered.

    async def _creating(self, name: str, id: str, *args: str | int) -> _Answer:
        await self._register(id)
        answer = await self._run(name, id, *args)
        await self._register(id)
        return answer

    async def _register(self, id: str) -> None:
        await self._client.execute("ZADD", self._keys.sessions, 0, self._keys.member(id))

    async def _unregister(self, id: str) -> None:
        await self._client.execute("ZREM", self._keys.sessions, id)
        if await self._client.execute("EXISTS", self._keys.record(id)):
            await self._register(id)

    async def _run(self, name: str, id: str, *args: str | int, call: str | None = None) -> _Answer:
        # One name for the call: the client repeats it after a lost answer, and the script finds that it was done.
        flat = await self._client.script(name, self._keys.of_scripts(id), [call or new_call(), *args])
        if flat[3]:
            await self._purge(id)
        return _parse(id, flat)

    async def _purge(self, id: str) -> None:
        """Remove what another program wrote in the keys layout after its session was cleared: only SCAN finds it."""
        start = self._keys.auth_field(id, "")
        keys = self._keys.of_scripts(id)
        async for batch in self._client.scan(glob_escape(start) + "*"):
            if batch:
                await self._client.script("auth_purge", keys, ["", *(key.removeprefix(start) for key in batch)])
        await self._client.script("auth_purge", keys, ["done"])


def new_call() -> str:
    """A name for one call of a script."""
    return secrets.token_hex(8)


def _parse(id: str, answer: list[Any]) -> _Answer:
    kind, now, flat, _ = answer
    fields_ = dict(zip(flat[::2], flat[1::2], strict=True))
    return _Answer(kind, int(now), _record(id, fields_, int(now)) if fields_ else None)


def _record(id: str, flat: dict[str, str], now: int) -> Record:
    known: dict[str, Any] = {
        name: int(value) if name in INTEGERS else value for name, value in flat.items() if name in _NAMES
    }
    known["status"] = Status(known["status"])
    if "intent" in known:
        known["intent"] = Intent(known["intent"])
    record = Record(id=id, **known)
    if record.qr_expires_at is not None and record.qr_expires_at <= now:
        return replace(record, qr=None)
    return record


def _encode(change: Change) -> str:
    encoded: dict[str, Any] = {"event": change.event.value, "status": change.status.value}
    for name in ("reason", "code", "note", "retry_in_ms", "deadline_in_ms", "qr_in_ms"):
        value = getattr(change, name)
        if value is not None:
            encoded[name] = str(value)
    if change.set:
        encoded["set"] = {name: str(value) for name, value in change.set.items()}
    if change.drop:
        encoded["drop"] = list(change.drop)
    for name in ("clear", "bump"):
        if getattr(change, name):
            encoded[name] = "1"
    return json.dumps(encoded)
