"""Which replicas there are: one heartbeat key each, and an index of the sessions that each may own.

The index is written before a session's record names its owner, so it holds all that a dead replica owned, and perhaps
more: the records decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.store.client import RedisClient
from app.store.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A replica as it described itself at its last heartbeat. Times: ms by Redis' clock. `held`: how many of its
    sessions its guard holds back, `held_for`: the reason that it does so for, "" for none."""

    id: str
    host: str
    pid: int
    process_space: str
    version: str
    sessions: int
    max_sessions: int
    accepting: bool
    held: int
    held_for: str
    started_at: int
    beat_at: int


class ReplicaStore:
    """All methods raise StoreUnavailable."""

    def __init__(self, client: RedisClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def beat(self, worker: str, fields: Mapping[str, str | int], *, ttl_ms: int) -> int:
        """Say that `worker` is alive, for `ttl_ms` from now; `fields` as in Worker. Costs the same whatever the number
        of its sessions. Returns Redis' clock in ms."""
        # Listed before it beats: one that is listed and silent is dead; one that beats unlisted would be missed.
        await self._client.execute("SADD", self._keys.workers, worker)
        flat = [item for pair in fields.items() for item in pair]
        return int(await self._client.script("beat", [self._keys.worker(worker)], [ttl_ms, *flat]))

    async def alive(self) -> list[Worker]:
        """Those whose heartbeat has not run out, by name."""
        return [worker for worker in (await self._all()).values() if worker is not None]

    async def dead(self) -> list[str]:
        """Those that are listed and silent: their sessions are to be taken over, then they are to be forgotten."""
        return [name for name, worker in (await self._all()).items() if worker is None]

    async def forget(self, worker: str) -> None:
        """Remove a replica that is gone, with its heartbeat and its index."""
        await self._client.pipeline(
            [
                ("UNLINK", self._keys.worker(worker)),
                ("UNLINK", self._keys.worker_sessions(worker)),
                ("SREM", self._keys.workers, worker),
            ]
        )

    async def add_session(self, worker: str, session: str) -> None:
        """Note that `worker` is about to own `session`."""
        await self._client.execute("SADD", self._keys.worker_sessions(worker), session)

    async def remove_session(self, worker: str, session: str) -> None:
        """Note that `worker` no longer owns `session`."""
        await self._client.execute("SREM", self._keys.worker_sessions(worker), session)

    async def sessions_of(self, worker: str) -> list[str]:
        """Sessions that `worker` may own."""
        return sorted(await self._client.execute("SMEMBERS", self._keys.worker_sessions(worker)))

    async def _all(self) -> dict[str, Worker | None]:
        names = sorted(await self._client.execute("SMEMBERS", self._keys.workers))
        beats = await self._client.pipeline([("HGETALL", self._keys.worker(name)) for name in names])
        return {name: _worker(name, beat) if beat else None for name, beat in zip(names, beats, strict=True)}


def _worker(name: str, beat: dict[str, str]) -> Worker:
    return Worker(
        id=name,
        host=beat.get("host", ""),
        pid=int(beat.get("pid", 0)),
        process_space=beat.get("process_space", ""),
        version=beat.get("version", ""),
        sessions=int(beat.get("sessions", 0)),
        max_sessions=int(beat.get("max_sessions", 0)),
        accepting=beat.get("accepting", "0") == "1",
        held=int(beat.get("held", 0)),
        held_for=beat.get("held_for", ""),
        started_at=int(beat["started_at"]),
        beat_at=int(beat["beat_at"]),
    )
